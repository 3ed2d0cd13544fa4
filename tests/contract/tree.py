"""The docker CLI's tree of commands and options, read from its helps."""

from __future__ import annotations

import re
import subprocess

SWARM = {"config", "node", "secret", "service", "stack", "swarm"}
Options = set[str]


def read_help(program: str, words: tuple[str, ...]) -> tuple[Options, list[str]]:
    """(options, a short one beside a long one as ``-a, --all``; names of commands below)."""
    done = subprocess.run([program, *words, "--help"], capture_output=True, text=True, check=False, timeout=60)
    options: Options = set()
    below: list[str] = []
    section = ""
    for line in done.stdout.splitlines():
        if heading := re.match(r"^(\w[\w ]*):\s*$", line):
            section = heading[1]
        elif section.endswith("Commands") and (found := re.match(r"^  ([\w-]+)\*?\s", line)):
            below.append(found[1])
        elif section in ("Options", "Global Options") and (found := re.match(r"^ {2,6}((?:-\w, )?--[\w-]+)", line)):
            options.add(found[1])
    return options, below


def walk(program: str, words: tuple[str, ...] = ()) -> dict[str, Options]:
    """Every command of *program* with its options; a Swarm's commands and plugins' are left out."""
    options, below = read_help(program, words)
    found = {" ".join(words): options}
    for name in below:
        if words or name not in SWARM | {"buildx", "compose", "app"}:
            found |= walk(program, (*words, name))
    return found


def write(tree: dict[str, Options]) -> str:
    """A line for each command that has options or none: ``run: -a, --attach; --cpus``."""
    return "".join(f"{path}: {'; '.join(sorted(options))}\n" for path, options in sorted(tree.items()))


def read(text: str) -> dict[str, Options]:
    """What :func:`write` wrote."""
    lines = (line.partition(": ") for line in text.splitlines())
    return {path: set(filter(None, options.split("; "))) for path, _, options in lines}
