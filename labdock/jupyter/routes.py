"""What is served where, all below ``{base_url}labdock/``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jupyter_server.utils import url_path_join

from labdock.jupyter import proxy, rest
from labdock.jupyter.channels import Kind
from labdock.jupyter.desk import Desk
from labdock.jupyter.live import Live

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

SETTING = "labdock_desk"

KINDS: dict[str, Kind] = {}


def add_to(server: ServerApp, environment: Mapping[str, str] | None = None) -> Desk:
    """The routes, and what their handlers share."""
    application = server.web_app
    desk = Desk(os.environ if environment is None else environment, application.settings)
    application.settings[SETTING] = desk
    base = application.settings["base_url"]
    known: dict[str, Any] = {"desk": desk}
    routes: list[tuple[str, Any, dict[str, Any]]] = [
        ("engine", rest.EngineHandler, known),
        ("state", rest.StateHandler, known),
        ("docker/.+", proxy.DockerHandler, known),
        ("live", Live, {**known, "kinds": KINDS}),
    ]
    rules = [(url_path_join(base, "labdock/api", path), *rest) for path, *rest in routes]
    application.add_handlers(".*$", rules)  # type: ignore[no-untyped-call]
    return desk
