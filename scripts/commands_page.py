"""Write ``docs/commands.md``: every command with its options, from the command tree itself.

commands_page.py [--check]     (--check: exit with 1 when the page is not as it would be written)
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

PAGE = Path(__file__).parents[1] / "docs" / "commands.md"
HEAD = """# Commands

Written by `scripts/commands_page.py` from the commands themselves: change those, then run it again.

What follows `labdock` in a terminal follows `%container` in a notebook, word for word; the commands and options are
Docker's own where Docker has them. Where there is `--format`, `--json` is short for `--format json`. In a cell, results
are objects: sequences and cards that show themselves, with `.widget()` where there is more to see.
"""
#: The magics that are not in the tree.
MAGICS = (("labdock.commands.building", "build_cell"), ("labdock.notebook.inside", "run_inside"))


def walk(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command below *group* with its full name, groups left out."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from walk(command, f"{path} {name}")
        elif command is not None:
            yield f"{path} {name}", command


def cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


def section(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=name, terminal_width=100)
    lines = [f"### {name}", "", (command.help or "").strip().replace("<", "&lt;"), "", "```", usage(context), "```"]
    options = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]
    if options:
        lines += ["", "| option | |", "|---|---|"]
        lines += [f"| {spelled(each)} | {cell(each.help or '')} |" for each in options]
    return "\n".join(lines)


def usage(context: click.Context) -> str:
    return context.command.get_usage(context).removeprefix("Usage: ")


def spelled(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    return names if option.is_flag else f"{names} *{'values' if option.multiple else 'value'}*"


def generate() -> str:
    import importlib

    from labdock.commands.tree import root

    found = dict(walk(root, "labdock"))
    # The short names are the ones people know; the others are named beside them.
    others: dict[int, list[str]] = {}
    for name, command in found.items():
        others.setdefault(id(command), []).append(name)
    shown = {min(names, key=lambda each: (each.count(" "), each)): names for names in others.values()}
    shown = dict(sorted(shown.items()))
    about = {name: cell(found[name].get_short_help_str(90)) for name in shown}
    index = [f"| [`{name}`](#{name.replace(' ', '-')}) | {about[name]} |" for name in shown]
    parts = [HEAD.rstrip(), "\n".join(["| command | |", "|---|---|", *index])]
    for name, names in shown.items():
        also = [each for each in names if each != name]
        text = section(name, found[name])
        parts.append(text + (f"\n\nAlso `{'`, `'.join(also)}`." if also else ""))
    parts.append("## Magics of their own\n\n`%explain` is `labdock explain`.")
    for module, attribute in MAGICS:
        command = getattr(importlib.import_module(module), attribute)
        parts.append(section(command.name, command))
    return "\n\n".join(parts) + "\n"


def main(arguments: list[str]) -> int:
    text = generate()
    if arguments == ["--check"]:
        return 0 if PAGE.exists() and PAGE.read_text() == text else 1
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
