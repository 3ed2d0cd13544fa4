"""``inspect`` of anything: JSON, or by a template."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click
import msgspec

from labdock.commands.platforms import check as check_platform
from labdock.commands.platforms import platform_option
from labdock.commands.results import Result
from labdock.commands.tree import command
from labdock.errors import LabdockError, NotFound

if TYPE_CHECKING:
    from labdock.commands.face import Face

Wire = dict[str, Any]
Find = Callable[[str], Wire]

format_option = click.option("-f", "--format", "form", help="Format output using a Go template, or json")


class Documents(Result, Sequence[Wire]):
    """What inspect found: a list of dicts in code, indented JSON to look at."""

    def __init__(self, items: Sequence[Wire]) -> None:
        self.items = tuple(items)

    def __getitem__(self, index: Any) -> Any:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __str__(self) -> str:
        return msgspec.json.format(msgspec.json.encode(self.items), indent=4).decode()

    def _repr_html_(self) -> str:
        from labdock.commands import html

        parts = []
        for item in self.items:
            name = str(item.get("Name") or ", ".join(item.get("RepoTags") or ()) or item.get("Id") or "")
            text = html.preformatted(msgspec.json.format(msgspec.json.encode(item), indent=2).decode())
            opened = " open" if len(self.items) == 1 else ""
            parts.append(f"<details{opened}><summary>{html.escape(name.lstrip('/'))}</summary>{text}</details>")
        return "".join(parts)


def _show(names: Sequence[str], form: str | None, find: Find) -> Result:
    from labdock.commands.results import Text, unescape

    found = [find(name) for name in names]
    if not form:
        return Documents(found)
    from labdock.commands.template import Template

    template = Template("{{json .}}" if form == "json" else unescape(form))
    return Text("\n".join(template.render(wire) for wire in found))


def _finders(face: Face, size: bool) -> dict[str, Find]:
    client = face.client
    return {
        "container": lambda name: client.containers.inspect(name, size=size).raw,
        "image": lambda name: client.images.inspect(name).raw,
        "network": lambda name: client.networks.inspect(name).raw,
        "volume": lambda name: client.volumes.inspect(name).raw,
        "plugin": client.plugins.inspect,
    }


@command("inspect")
@format_option
@click.option("-s", "--size", is_flag=True, help="Display total file sizes if the type is container")
@click.option("--type", "kind", help="Only inspect this type: container, image, network, volume, plugin")
@click.argument("names", nargs=-1, required=True)
@click.pass_obj
def inspect(face: Face, /, names: tuple[str, ...], form: str | None, size: bool, kind: str | None) -> Result:
    """Display detailed information on containers, images, networks, volumes."""
    finders = _finders(face, size)
    if kind:
        if kind not in finders:
            raise LabdockError(f'unknown type: "{kind}"', hint="container, image, network, volume or plugin")
        return _show(names, form, finders[kind])

    def find(name: str) -> Wire:
        for finder in finders.values():
            try:
                return finder(name)
            except NotFound:
                continue
        raise NotFound(
            f"No such object: {name}", hint="`ps -a`, `images`, `network ls`, `volume ls` show what there is"
        )

    return _show(names, form, find)


@command("inspect")
@format_option
@click.option("-s", "--size", is_flag=True, help="Display total file sizes")
@click.argument("names", nargs=-1, required=True)
@click.pass_obj
def inspect_container(face: Face, /, names: tuple[str, ...], form: str | None, size: bool) -> Result:
    """Display detailed information on one or more containers."""
    return _show(names, form, _finders(face, size)["container"])


@command("inspect")
@format_option
@platform_option
@click.argument("names", nargs=-1, required=True)
@click.pass_obj
def inspect_image(face: Face, /, names: tuple[str, ...], form: str | None, platform: str | None) -> Result:
    """Display detailed information on one or more images."""
    for name in names:
        check_platform(face, name, platform)
    return _show(names, form, _finders(face, False)["image"])


def inspect_by(kind: str) -> click.Command:
    """The ``inspect`` of networks, volumes or plugins."""

    @command("inspect", help=f"Display detailed information on one or more {kind}s.")
    @format_option
    @click.argument("names", nargs=-1, required=True)
    @click.pass_obj
    def inspect_these(face: Face, /, names: tuple[str, ...], form: str | None) -> Result:
        return _show(names, form, _finders(face, False)[kind])

    return inspect_these
