"""A Dockerfile in a cell, read by its instructions: whether it takes files from the folder it is in. Pure.

An estimate, by lines: what it takes for a use and is none costs the sending of a folder; the other way round the
engine says which file it misses, and ``--context .`` sends it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_HEREDOC = re.compile(r"<<-?\s*[\"']?([A-Za-z0-9_.-]+)[\"']?")
_MOUNT = re.compile(r"--mount=(\S+)")
_URL = re.compile(r"(https?|git|ssh)://|git@", re.IGNORECASE)
_TAKES = ("COPY", "ADD", "RUN")


def takes_files(source: str) -> bool:
    """Whether an instruction of *source* reads the build context."""
    return any(_takes_files(each.word, each.rest) for each in instructions(source))


def through(source: str, line: int) -> str:
    """*source* up to the end of the instruction that begins in *line* (from 1), heredocs and all."""
    last = next((each.last for each in instructions(source) if each.first <= line <= each.last), line)
    return "\n".join(source.split("\n")[:last]) + "\n"


@dataclass(frozen=True, slots=True)
class Instruction:
    """``word`` in capitals, ``rest`` with its continuation lines joined; its lines in the source, from 1."""

    word: str
    rest: str
    first: int
    last: int


def instructions(source: str) -> Iterator[Instruction]:
    """Each instruction; heredocs' bodies and comments belong to none's text."""
    escape = "`" if re.match(r"\s*#\s*escape\s*=\s*`", source, re.IGNORECASE) else "\\"
    lines = enumerate(source.split("\n"), 1)
    for first, line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        text, last = line.strip(), first
        while text.endswith(escape):
            last, following = next(lines, (last, ""))
            following = following.strip()
            text = text[:-1] + ("" if following.startswith("#") else following)
            if following.startswith("#"):
                text += escape
        word, _, rest = text.partition(" ")
        if word.upper() in _TAKES:
            for mark in _HEREDOC.findall(rest):
                for number, body in lines:
                    last = number
                    if body.lstrip("\t").rstrip("\r") == mark:
                        break
        yield Instruction(word.upper(), rest, first, last)


def _takes_files(word: str, rest: str) -> bool:
    if word == "RUN":
        return any(_binds_context(mount) for mount in _MOUNT.findall(rest))
    if word not in ("COPY", "ADD"):
        return False
    words = rest.split()
    flags = [each for each in words if each.startswith("--")]
    if any(each.startswith("--from=") for each in flags):
        return False
    sources = [each for each in words if not each.startswith("--")][:-1]
    return any(not each.startswith("<<") and not (word == "ADD" and _URL.match(each)) for each in sources)


def _binds_context(mount: str) -> bool:
    options = dict(option.partition("=")[::2] for option in mount.split(","))
    return options.get("type", "bind") == "bind" and "from" not in options
