"""REST: the engine, and all there is."""

from __future__ import annotations

from tornado import web

from labdock.jupyter.access import Handler


class EngineHandler(Handler):
    """Whether the engine runs, and why not; starting and stopping it."""

    @web.authenticated
    async def get(self) -> None:
        self.answer(await self.desk.board.describe())

    @web.authenticated
    async def post(self) -> None:
        await self.desk.link.act(str(self.read_body().get("action", "")))
        self.answer(await self.desk.board.describe())


class StateHandler(Handler):
    """Everything at once; ``?start=1`` starts an engine of labdock's own when there is none."""

    @web.authenticated
    async def get(self) -> None:
        if self.get_query_argument("start", "") not in ("", "0", "false"):
            await self.desk.link.ensure()
        self.answer(await self.desk.board.read())
