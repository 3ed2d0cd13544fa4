"""``explain``: what the engine did to make a container, drawn as text or as boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from labdock.commands import units
from labdock.commands.results import Result, Text, printable, unescape
from labdock.commands.tree import command

if TYPE_CHECKING:
    from labdock.commands.face import Face

Wire = dict[str, Any]

#: Layers and mounts that are drawn; the rest is counted.
SHOWN = 12
#: Mounts of these are the runtime's, the same for every container.
PLUMBING = ("proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup2", "devtmpfs")
EGRESS = {"slirp4netns": "slirp4netns, a user-space router of the sandbox", "none": "no way out: this machine has none"}


@command("explain")
@click.option("-f", "--format", "form", help="Format output using a Go template, or json")
@click.argument("container")
@click.pass_obj
def explain(face: Face, /, container: str, form: str | None) -> Result:
    """Draw what the engine did to make a container: namespaces, ids, files, layers, network."""
    facts = face.client.system.explain(container)
    if not form:
        return Explanation(facts)
    from labdock.commands.template import Template

    return Text(Template("{{json .}}" if form == "json" else unescape(form)).render(facts))


class Explanation(Result):
    """``facts`` is what the engine said; ``sections()`` what is made of it, as texts."""

    def __init__(self, facts: Wire) -> None:
        self.facts = facts

    @property
    def title(self) -> str:
        facts = self.facts
        return f"{facts['Name']} ({facts['Image']}, {facts['Status']})"

    def nesting(self) -> list[tuple[str, str]]:
        """From the machine down to the program: (what, about it)."""
        facts, plan = self.facts, self.facts["Plan"]
        outside = facts["IdMaps"]["Uids"][0]["Outside"] if facts["IdMaps"]["Uids"] else "?"
        lines = [
            ("this machine", f"the engine runs as uid {outside}, with no more rights than that"),
            ("the sandbox", f"one for the whole engine, made of namespaces; its root is uid {outside} outside"),
        ]
        for parent in reversed(facts["Parents"][1:]):
            lines.append((parent["Name"], f"process {parent['Pid']} in the sandbox{_ROLES.get(parent['Name'], '')}"))
        process = facts["Process"]
        if process is None:
            return [*lines, (facts["Name"], f"not running; {plan['Snapshotter']} keeps its files")]
        words = " ".join(facts["Args"])
        about = f"process {process['Pid']} in the sandbox and {process['PidInside']} inside: {units.elide(words, 60)}"
        return [*lines, (facts["Name"], about)]

    def sections(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """(heading, rows of (name, value))."""
        found = [("Namespaces", self._namespaces()), ("Ids", self._ids()), ("Rights", self._rights())]
        found += [("Files", self._layers()), ("Mounts", self._mounts()), ("Network", self._network())]
        return [(heading, rows) for heading, rows in found if rows]

    def _namespaces(self) -> list[tuple[str, str]]:
        return [
            (each["Kind"], ("its own" if each["Own"] else "the engine's") + f" — {each['Meaning']}")
            for each in self.facts["Namespaces"]
        ]

    def _ids(self) -> list[tuple[str, str]]:
        rows = []
        for kind, name in (("Uids", "uid"), ("Gids", "gid")):
            for each in self.facts["IdMaps"][kind]:
                inside, outside, count = each["Inside"], each["Outside"], each["Count"]
                last = f"–{inside + count - 1}" if count > 1 else ""
                end = f"–{outside + count - 1}" if count > 1 else ""
                rows.append((f"{name} {inside}{last} inside", f"{name} {outside}{end} on this machine"))
        return rows

    def _rights(self) -> list[tuple[str, str]]:
        process = self.facts["Process"]
        if process is None:
            return []
        held = process["Capabilities"]
        rows = [("runs as", f"uid {process['Uid']}, gid {process['Gid']} (in the sandbox)")]
        rows.append(("capabilities", f"{len(held)} of 41: {', '.join(held)}" if held else "none"))
        rows.append(("system calls", {"filter": "filtered by seccomp"}.get(process["Seccomp"], "not filtered")))
        if process["NoNewPrivileges"]:
            rows.append(("new privileges", "none can be gained"))
        return rows

    def _layers(self) -> list[tuple[str, str]]:
        """Top to bottom: what is written, then the image."""
        layers = [each for each in self.facts["Layers"] if each["Size"]]
        rows = [("written since", f"{units.size(self.facts['Written'], 3)} in a layer of the container's own")]
        rows += [(units.size(each["Size"], 3), units.elide(each["CreatedBy"], 80)) for each in layers[:SHOWN]]
        if len(layers) > SHOWN:
            rows.append((f"{len(layers) - SHOWN} more", "layers below"))
        return rows

    def _mounts(self) -> list[tuple[str, str]]:
        """What is mounted where: the kernel's own and what lies below another bind are only counted."""
        rows: list[tuple[str, str]] = []
        written: list[str] = []
        binds: list[str] = []
        plumbing = below = 0
        for each in self.facts["Mounts"]:
            target, source = each["Target"], each["Source"]
            if any(target.startswith(f"{bind}/") for bind in binds):
                below += 1
            elif each["Type"] == "overlay" and target == "/":
                count = each["Lower"]
                layers = f"{count} layer{'s' if count != 1 else ''}"
                rows.append((target, f"overlay of {layers} of the image and one to write to"))
            elif each["Type"] in PLUMBING:
                plumbing += 1
            elif target.startswith("/etc/") and self.facts["Id"] in source:
                written.append(target)
            else:
                binds.append(target)
                rows.append((target, f"{source} ({'read-only' if each['ReadOnly'] else 'read-write'})"))
        more = len(rows) - SHOWN
        rows = rows[:SHOWN] + ([(f"{more} more", "mounts")] if more > 0 else [])
        rows += [(", ".join(written), "written by the engine")] if written else []
        rows += [("and", f"{below} below those")] if below else []
        return [*rows, ("and", f"{plumbing} of the kernel's own: /proc, /sys, /dev …")] if plumbing else rows

    def _network(self) -> list[tuple[str, str]]:
        network = self.facts["Network"]
        rows = [("mode", network["Mode"])]
        rows += [
            (f"on {each['Network']}", f"{each['Address']} ({each['Mac']}), the gateway is {each['Gateway'] or 'none'}")
            for each in network["Endpoints"]
        ]
        published = {(each["Port"], each["HostPort"]): "" for each in network["Published"]}
        return rows + [(f"port {inner}", f"port {outer} on this machine") for inner, outer in published]

    def path(self) -> list[str]:
        """The way of a packet out of the container, station by station."""
        network, egress = self.facts["Network"], self.facts["Plan"]["Egress"]
        if not network["Endpoints"]:
            said = {"none": "no network: only the loopback", "host": "the sandbox's own network"}
            return [self.facts["Name"], said.get(network["Mode"], f"the network of {network['Mode']}")]
        first = network["Endpoints"][0]
        return [
            f"{self.facts['Name']} {first['Address'].partition('/')[0]}",
            "veth, a cable",
            f"the bridge of network {first['Network']}, {first['Gateway']}".rstrip(", "),
            EGRESS.get(egress, egress),
            "this machine's network",
        ]

    def __str__(self) -> str:
        lines = [printable(self.title), ""]
        for depth, (what, about) in enumerate(self.nesting()):
            lines.append(f"{'   ' * (depth - 1)}{'└─ ' if depth else ''}{printable(what)}: {printable(about)}")
        for heading, rows in self.sections():
            width = min(max(len(name) for name, _ in rows), 30)
            lines += ["", heading, *(f"  {printable(name):<{width}}  {printable(value)}" for name, value in rows)]
            if heading == "Network":
                lines.append(f"  {' → '.join(map(printable, self.path()))}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from labdock.commands import html

        box = f"border:{html.LINE};border-radius:4px;padding:4px 10px;margin:4px 0"
        inner = "".join(_section(heading, rows, self.path()) for heading, rows in self.sections())
        for what, about in reversed(self.nesting()):
            head = f'<b>{html.escape(what)}</b> <span style="{html.FAINT}">{html.escape(about)}</span>'
            inner = f'<div style="{box}"><div>{head}</div>{inner}</div>'
        colour = html.state_colour(self.facts["Status"])
        badge = html.badge(self.facts["Status"], colour)
        return html.card(f"<b>{html.escape(self.facts['Name'])}</b> {badge}", [inner], colour)


_ROLES = {
    "conmon": ": the monitor, which keeps its log and its exit code",
    "labdock-engine": ": the engine",
    "labdock-inner": ": reaps, and starts the engine again",
}


def _section(heading: str, rows: list[tuple[str, str]], path: list[str]) -> str:
    from labdock.commands import html

    if heading == "Files":
        body = "".join(_layer(name, value, top=not index) for index, (name, value) in enumerate(rows))
    else:
        body = "".join(
            f'<tr><td style="{_CELL};{html.FAINT}">{html.escape(name)}</td>'
            f'<td style="{_CELL}">{html.escape(value)}</td></tr>'
            for name, value in rows
        )
        body = f'<table style="border-collapse:collapse;color:inherit"><tbody>{body}</tbody></table>'
    if heading == "Network":
        frame = f"display:inline-block;border:{html.LINE};border-radius:4px;padding:2px 8px;margin:2px 0"
        body += " → ".join(f'<span style="{frame}">{html.escape(each)}</span>' for each in path)
    return f"<details{_OPEN.get(heading, '')}><summary><b>{heading}</b></summary>{body}</details>"


_CELL = "padding:1px 12px 1px 0;text-align:left;vertical-align:top;background:none"
_OPEN = {"Namespaces": " open", "Files": " open", "Network": " open"}


def _layer(name: str, value: str, *, top: bool) -> str:
    """One plate of the stack; what is written is drawn with a broken line."""
    from labdock.commands import html

    line = "1px dashed currentColor" if top else html.LINE
    size = f'<span style="{html.FAINT}">{html.escape(name)}</span>'
    return f'<div style="border:{line};padding:1px 8px;max-width:48em">{size} {html.code(value)}</div>'
