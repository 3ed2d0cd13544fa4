"""Whether a Dockerfile in a cell takes files from the folder it is in: only then the folder is sent. Pure.

An estimate, by lines: what it takes for a use and is none costs the sending of a folder; the other way round the
engine says which file it misses, and ``--context .`` sends it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_HEREDOC = re.compile(r"<<-?\s*[\"']?([A-Za-z0-9_.-]+)[\"']?")
_MOUNT = re.compile(r"--mount=(\S+)")
_URL = re.compile(r"(https?|git|ssh)://|git@", re.IGNORECASE)
_TAKES = ("COPY", "ADD", "RUN")


def takes_files(source: str) -> bool:
    """Whether an instruction of *source* reads the build context."""
    return any(_takes_files(*line) for line in _instructions(source))


def _instructions(source: str) -> Iterator[tuple[str, str]]:
    """(word, rest) of each instruction; continuation lines joined, heredocs' bodies and comments left out."""
    escape = "`" if re.match(r"\s*#\s*escape\s*=\s*`", source, re.IGNORECASE) else "\\"
    lines = iter(source.split("\n"))
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        text = line.strip()
        while text.endswith(escape):
            following = next(lines, "").strip()
            text = text[:-1] + ("" if following.startswith("#") else following)
            if following.startswith("#"):
                text += escape
        word, _, rest = text.partition(" ")
        if word.upper() in _TAKES:
            for mark in _HEREDOC.findall(rest):
                for body in lines:
                    if body.lstrip("\t").rstrip("\r") == mark:
                        break
        yield word.upper(), rest


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
