"""``GET /labdock/api``: the table of endpoints itself."""

from __future__ import annotations

from aiohttp import web

from labdock.api.answers import json_answer
from labdock.api.call import Call


async def show(call: Call) -> web.StreamResponse:
    # The contract describes the table, and the table names this handler.
    from labdock.api import contract

    if call.query.boolean("openapi"):
        return json_answer(contract.openapi())
    return json_answer({"Rows": contract.describe()})
