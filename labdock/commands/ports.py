"""Where a browser finds what containers serve: links for results, and text for what has none."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass

from labdock.client.engine import find_endpoint
from labdock.commands import html
from labdock.errors import LabdockError

#: Set by the Jupyter server extension, for kernels and terminals: the path below which it serves containers' ports
#: (``{base_url}labdock/port/``), and the address of the engine whose containers they are.
RELAY, RELAY_ENGINE = "LABDOCK_PORTS", "LABDOCK_PORTS_ENGINE"


@dataclass(frozen=True, slots=True)
class Links:
    """``relay``: the path of the Jupyter server's port relay, "" where there is none for this engine."""

    environment: Mapping[str, str]
    relay: str = ""

    def address(self, container: str, private: int, public: int) -> str:
        """Where TCP port *private* of *container* is, *public* on the host (0: not published); "" for nowhere.

        Through the Jupyter server's relay where there is one; else, behind JupyterHub (and on Binder, which is one)
        through jupyter-server-proxy, in code-server through its proxy (VSCODE_PROXY_URI), else on localhost.
        """
        if self.relay:
            return f"{self.relay}{container}/{private}/"
        if not public:
            return ""
        prefix = self.environment.get("JUPYTERHUB_SERVICE_PREFIX")
        if prefix and prefix.startswith("/"):
            return f"{prefix.rstrip('/')}/proxy/{public}/"
        proxy = self.environment.get("VSCODE_PROXY_URI", "")
        if proxy.startswith(("https://", "http://")) and "{{port}}" in proxy:
            return proxy.replace("{{port}}", str(public))
        return f"http://localhost:{public}/"

    def link(self, container: str, private: int, public: int, text: str = "") -> str:
        """HTML: *text* (where it is left out: what a reader would type) as a link; only the text without an address."""
        address = self.address(container, private, public)
        if not address:
            return html.escape(text)
        shown = html.escape(text or (f"port {public or private}" if self.relay else address))
        attributes = 'target="_blank" rel="noopener" style="white-space:nowrap"'
        return f'<a href="{html.escape(address)}" {attributes}>{shown}</a>'

    @property
    def note(self) -> str:
        """What keeps links from working here, "" for nothing."""
        hub = self.environment.get("JUPYTERHUB_SERVICE_PREFIX")
        if self.relay or not hub or importlib.util.find_spec("jupyter_server_proxy") is not None:
            return ""
        return "links to ports need jupyter-server-proxy in the Jupyter server: pip install jupyter-server-proxy"


def find_links(environment: Mapping[str, str]) -> Links:
    """The links for containers of the engine that *environment* means."""
    relay = environment.get(RELAY, "")
    # A path, and none that a browser takes for another host's.
    if not relay.startswith("/") or relay.startswith("//") or not relay.endswith("/"):
        return Links(environment)
    try:
        engine = find_endpoint(environment).host
    except LabdockError:
        return Links(environment)
    return Links(environment, relay if engine == environment.get(RELAY_ENGINE) else "")
