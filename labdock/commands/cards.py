"""One container or image to look at: its id in a terminal, a card in a notebook."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from labdock.commands import html, units
from labdock.commands.ports import Links, find_links
from labdock.commands.results import Result, live_card, printable

if TYPE_CHECKING:
    from labdock.client.results import Container, Image
    from labdock.commands.build_view import BuildView


class ContainerCard(Result):
    """A container: ``id``, ``name``, ``state`` and ``container`` (all of it)."""

    def __init__(self, container: Container, links: Links | None = None) -> None:
        self.container = container
        self._links = links or find_links(os.environ)
        self.live = live_card("container", [container.id], [container.name.lstrip("/")])

    @property
    def id(self) -> str:
        return self.container.id

    @property
    def name(self) -> str:
        return self.container.name.lstrip("/")

    @property
    def state(self) -> str:
        return self.container.state.status

    @property
    def ports(self) -> dict[str, list[tuple[str, int]]]:
        """``{"80/tcp": [("0.0.0.0", 8080)]}``."""
        return self.container.ports

    def __str__(self) -> str:
        return printable(self.id)

    def _repr_html_(self) -> str:
        image, id = html.escape(self.container.image_name), html.escape(units.short(self.id))
        title = (
            f"<b>{html.escape(self.name)}</b> {html.badge(self.state, html.state_colour(self.state))} "
            f'<span style="{html.FAINT}">{image} · {id}</span>'
        )
        lines = list(self._port_lines())
        if lines and (note := self._links.note):
            lines.append(f'<span style="{html.FAINT}">{html.escape(note)}</span>')
        return html.card(title, lines, html.state_colour(self.state))

    def _port_lines(self) -> Iterator[str]:
        for port, bindings in self.ports.items():
            number, _, protocol = port.partition("/")
            web = protocol == "tcp" and number.isdecimal()
            hosts = sorted({outer for _, outer in bindings if outer})
            if not hosts and web and self.state == "running" and self._links.relay:
                yield self._links.link(self.id, int(number), 0)
            for host in hosts:
                link = self._links.link(self.id, int(number), host) if web else f"port {host}"
                yield f'{link} <span style="{html.FAINT}">→ {html.escape(port)} in the container</span>'


class ImageCard(Result):
    """An image that was built: ``id``, ``names``, ``image`` (all of it), and ``view``, how it was built."""

    def __init__(self, image: Image, names: tuple[str, ...] = (), view: BuildView | None = None) -> None:
        self.view = view
        self.image = image
        self.names = names or image.repo_tags
        self.live = live_card(
            "build" if view is not None else "image", [image.id], [self.names[0] if self.names else ""]
        )

    @property
    def id(self) -> str:
        return self.image.id

    def use_as_kernel(self, **options: Any) -> Result:
        """Make it a notebook kernel; *options* and errors are those of :func:`labdock.kernels.add`."""
        from labdock import kernels
        from labdock.commands.kernels import KernelCard

        return KernelCard(kernels.add(self.names[0] if self.names else self.id, **options))

    def __str__(self) -> str:
        return printable(self.id)

    def _repr_html_(self) -> str:
        name = ", ".join(self.names) or "image without a name"
        return (
            f'<div><b>{html.escape(name)}</b> <span style="{html.FAINT}">{html.escape(units.short(self.id))} · '
            f"{units.size(self.image.size, 3)}</span></div>"
        )
