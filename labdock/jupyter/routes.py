"""What is served where, all below ``{base_url}labdock/``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jupyter_server.utils import url_path_join

from labdock.commands.ports import RELAY, RELAY_ENGINE
from labdock.jupyter import consent, files, proxy, pruning, rest, tools
from labdock.jupyter.channels import Kind, builds, jobs, logs, stats
from labdock.jupyter.desk import Desk
from labdock.jupyter.live import Live

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

SETTING = "labdock_desk"

KINDS: dict[str, Kind] = {
    "logs": logs.follow_log,
    "stats": stats.watch_usage,
    "pull": jobs.pull,
    "build": builds.build,
    "compose": jobs.compose,
    "bootstrap": jobs.bootstrap,
}


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
        ("terminals", tools.TerminalsHandler, known),
        ("kernels", tools.KernelsHandler, known),
        ("kernels/([^/]+)", tools.KernelHandler, known),
        ("files", files.FilesHandler, known),
        ("files/content", files.ContentHandler, known),
        ("prune", pruning.PruneHandler, known),
        ("trust", consent.TrustHandler, known),
        ("live", Live, {**known, "kinds": KINDS}),
    ]
    rules = [(url_path_join(base, "labdock/api", path), *rest) for path, *rest in routes]
    if (handler := find_port_handler()) is not None:
        desk.ports = True
        rules.append((url_path_join(base, handler[0]), handler[1], known))
    application.add_handlers(".*$", rules)  # type: ignore[no-untyped-call]
    announce(desk, url_path_join(base, "labdock/port/"))
    return desk


def announce(desk: Desk, address: str) -> None:
    """Tell this server's kernels and terminals, who inherit its environment, where containers' ports are served.

    Jupyter tells a kernel nothing of its server's base URL.
    """
    for name in (RELAY, RELAY_ENGINE):
        os.environ.pop(name, None)
    if desk.ports and desk.link.problem is None:
        os.environ |= {RELAY: address, RELAY_ENGINE: f"unix://{desk.link.path}"}


def find_port_handler() -> tuple[str, Any] | None:
    """The route of ports in a tab, and who serves it; None without jupyter-server-proxy."""
    try:
        from labdock.jupyter import ports
    except ImportError:
        return None
    return ports.PATTERN, ports.PortHandler
