"""Text to a :class:`Dockerfile`, or to a single instruction (ONBUILD's triggers). Pure; raises only DockerfileError."""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from typing import TypedDict

from labdock.build.dockerfile import instructions as ast
from labdock.build.dockerfile.durations import parse_duration
from labdock.build.dockerfile.flags import Flags
from labdock.build.dockerfile.lines import LineReader
from labdock.build.dockerfile.mounts import read_device, read_flag
from labdock.build.dockerfile.source import SPACES, Range, Word, refuse
from labdock.build.dockerfile.statements import (
    KEYWORDS,
    HeredocMark,
    Statement,
    read_heredoc_mark,
    read_statements,
)
from labdock.build.dockerfile.words import LexError
from labdock.errors import DockerfileError
from labdock.schema.container import HealthcheckConfig

_STAGE_NAME = re.compile(r"[a-z][a-z0-9\-_.]*\Z")
_NO_TRIGGERS = ("MAINTAINER", "FROM")


class _Common(TypedDict):
    keyword: str
    text: str
    range: Range
    flags: tuple[str, ...]
    comments: tuple[str, ...]


def parse(source: str | bytes) -> ast.Dockerfile:
    """Read a whole Dockerfile. Bytes are UTF-8; what is not becomes U+FFFD.

    Raises DockerfileError, with a range and Docker's words, and nothing else.
    """
    reader, statements = _read(source)
    arguments: list[ast.Arg] = []
    starts: list[ast.From] = []
    bodies: list[list[ast.Instruction]] = []
    for statement in statements:
        instruction = build_instruction(statement)
        if isinstance(instruction, ast.From):
            starts.append(instruction)
            bodies.append([])
        elif bodies:
            bodies[-1].append(instruction)
        elif isinstance(instruction, ast.Arg):
            arguments.append(instruction)
        else:
            raise refuse(
                statement.keyword.range,
                "no build stage in current context",
                hint=f"{statement.name} comes before the first FROM; only ARG may",
            )
    if not starts:
        raise refuse(statements[-1].range, "dockerfile contains no stages to build", hint="add a FROM line")
    stages = [
        ast.Stage(index, start, tuple(body)) for index, (start, body) in enumerate(zip(starts, bodies, strict=True))
    ]
    empty = tuple(reader.empty_continuations.items())
    named: dict[str, list[int]] = {}
    for stage in stages:
        if stage.name:
            named.setdefault(stage.name, []).append(stage.index)
    names = {name: tuple(numbers) for name, numbers in named.items()}
    return ast.Dockerfile(tuple(reader.directives), reader.escape, tuple(arguments), tuple(stages), empty, names)


def parse_trigger(text: str) -> ast.Instruction:
    """Read the one instruction of an ONBUILD trigger, as an image's config keeps it. Raises DockerfileError."""
    _, statements = _read(text)
    if len(statements) != 1 or statements[0].name in (*_NO_TRIGGERS, "ONBUILD"):
        raise refuse(statements[0].range, f"{statements[0].name} isn't allowed as an ONBUILD trigger")
    return build_instruction(statements[0])


def _read(source: str | bytes) -> tuple[LineReader, list[Statement]]:
    if isinstance(source, str):
        source = source.encode("utf-8", "surrogatepass")
    text = source.decode("utf-8", "replace")
    reader = LineReader(text)
    nul = text.find("\0")
    if nul >= 0:
        line, column = text.count("\n", 0, nul) + 1, nul - text.rfind("\n", 0, nul) - 1
        problem = f"dockerfile parse error on line {line}: the text holds a NUL character"
        raise DockerfileError(problem, line=line, column=column, end_column=column + 1)
    return reader, read_statements(reader)


def build_instruction(statement: Statement) -> ast.Instruction:
    """The typed form of *statement*. Raises DockerfileError."""
    builder = _BUILDERS.get(statement.name)
    if builder is None:
        near = get_close_matches(statement.name, KEYWORDS, 1)
        hint = f"did you mean {near[0]}?" if near else None
        raise refuse(statement.keyword.range, f"unknown instruction: {statement.keyword.text}", hint=hint)
    return builder(statement, Flags(statement))


def _common(statement: Statement) -> _Common:
    return {
        "keyword": statement.name,
        "text": statement.text,
        "range": statement.range,
        "flags": tuple(flag.text for flag in statement.flags),
        "comments": statement.comments,
    }


def _one(statement: Statement) -> Word:
    if len(statement.words) != 1:
        raise refuse(statement.range, f"{statement.name} requires exactly one argument")
    return statement.words[0]


def _some(statement: Statement) -> tuple[Word, ...]:
    if not statement.words:
        raise refuse(statement.range, f"{statement.name} requires at least one argument")
    return statement.words


def _from(statement: Statement, flags: Flags) -> ast.From:
    words, name = statement.words, ""
    if len(words) == 3 and words[1].text.lower() == "as":
        name = words[2].text.lower()
        if not _STAGE_NAME.match(name):
            problem = (
                f'invalid name for build stage: "{words[2].text}", name can\'t start with a number or contain symbols'
            )
            raise refuse(words[2].range, problem)
    elif len(words) != 1:
        hint = "write FROM image, or FROM image AS name"
        raise refuse(statement.range, "FROM requires either one or three arguments", hint=hint)
    return ast.From(base=words[0], name=name, platform=flags.get("platform"), marks=words[1:], **_common(statement))


def _arg(statement: Statement, flags: Flags) -> ast.Arg:
    declared = []
    for word in _some(statement):
        name, equals, value = word.text.partition("=")
        if not name:
            raise refuse(word.range, "ARG names can not be blank")
        declared.append(ast.Declared(name, Word(value, word.range) if equals else None, word.range))
    return ast.Arg(declared=tuple(declared), **_common(statement))


def _pairs(statement: Statement) -> tuple[ast.Pair, ...]:
    words, found = _some(statement), []
    for name, value, separator in zip(words[::3], words[1::3], words[2::3], strict=True):
        if not name.text:
            raise refuse(name.range, f"{statement.name} names can not be blank")
        found.append(ast.Pair(name, value, not separator.text))
    return tuple(found)


def _command(statement: Statement) -> ast.Command:
    args = tuple(word.text for word in statement.words)
    return ast.Command(args, not statement.json, statement.heredocs)


def _run(statement: Statement, flags: Flags) -> ast.Run:
    command = _command(statement)
    if not command.args:
        raise refuse(statement.range, "RUN requires at least one argument")
    network, security = flags.get("network"), flags.get("security")
    if network is not None and network.text not in ("default", "none", "host"):
        raise refuse(network.range, f'invalid network mode "{network.text}"')
    if security is not None and security.text not in ("sandbox", "insecure"):
        raise refuse(security.range, f'security "{security.text}" is not valid')
    return ast.Run(
        command=command,
        mounts=tuple(read_flag(word) for word in flags.all("mount")),
        network=network.text if network else "default",
        security=security.text if security else "sandbox",
        devices=tuple(read_device(word) for word in flags.all("device")),
        **_common(statement),
    )


def _mark(word: Word) -> HeredocMark | None:
    try:
        return read_heredoc_mark(word.text)
    except LexError:
        return None


class _Transfer(_Common):
    sources: tuple[Word, ...]
    inlines: tuple[ast.Inline, ...]
    destination: Word
    chown: Word | None
    chmod: Word | None
    link: bool
    excludes: tuple[Word, ...]


def _transfer(statement: Statement, flags: Flags) -> _Transfer:
    if len(statement.words) < 2:
        problem = (
            f"{statement.name} requires at least two arguments, but only one was provided. "
            "Destination could not be determined"
        )
        raise refuse(statement.range, problem)
    *sources, destination = statement.words
    if _mark(destination) is not None:
        raise refuse(destination.range, f"{statement.name} cannot accept a heredoc as a destination")
    bodies = {heredoc.mark.name: heredoc for heredoc in statement.heredocs}
    inlines, paths = [], []
    for word in sources:
        mark = _mark(word)
        if mark is None:
            paths.append(word)
            continue
        heredoc = bodies.get(mark.name)
        content = heredoc.content if heredoc else ""
        inlines.append(ast.Inline(mark.name, content, mark.expand, word.range))
    return {
        **_common(statement),
        "sources": tuple(paths),
        "inlines": tuple(inlines),
        "destination": destination,
        "chown": flags.get("chown"),
        "chmod": flags.get("chmod"),
        "link": bool(flags.truth("link")),
        "excludes": flags.all("exclude"),
    }


def _copy(statement: Statement, flags: Flags) -> ast.Copy:
    parents = bool(flags.truth("parents"))
    return ast.Copy(source=flags.get("from"), parents=parents, **_transfer(statement, flags))


def _add(statement: Statement, flags: Flags) -> ast.Add:
    return ast.Add(
        checksum=flags.get("checksum"),
        keep_git_dir=flags.truth("keep-git-dir"),
        unpack=flags.truth("unpack"),
        **_transfer(statement, flags),
    )


def _volume(statement: Statement, flags: Flags) -> ast.Volume:
    for word in _some(statement):
        if not word.text.strip(SPACES):
            raise refuse(word.range, "VOLUME specified can not be an empty string")
    paths = tuple(Word(word.text.strip(SPACES), word.range) for word in statement.words)
    return ast.Volume(paths=paths, **_common(statement))


def _shell(statement: Statement, flags: Flags) -> ast.Shell:
    if not statement.json and statement.words:
        hint = 'for example: SHELL ["/bin/bash", "-c"]'
        raise refuse(
            statement.range, f'SHELL requires the arguments to be in JSON form in "{statement.text}"', hint=hint
        )
    return ast.Shell(args=tuple(word.text for word in _some(statement)), **_common(statement))


def _healthcheck(statement: Statement, flags: Flags) -> ast.Healthcheck:
    kind_word, *rest = _some(statement)
    kind = kind_word.text.upper()
    if kind == "NONE":
        if rest:
            raise refuse(statement.range, "HEALTHCHECK NONE takes no arguments")
        return ast.Healthcheck(check=HealthcheckConfig(test=("NONE",)), **_common(statement))
    if kind != "CMD":
        raise refuse(kind_word.range, f'Unknown type "{kind}" in HEALTHCHECK (try CMD)')
    if not rest:
        raise refuse(statement.range, "Missing command after HEALTHCHECK CMD")
    retries = flags.get("retries")
    if retries is not None and not re.fullmatch(r"\+?[0-9]{1,9}", retries.text):
        raise refuse(retries.range, f"--retries must be a number, 0 or more ({retries.text})")
    check = HealthcheckConfig(
        test=("CMD" if statement.json else "CMD-SHELL", *(word.text for word in rest)),
        interval=_interval(flags, "interval"),
        timeout=_interval(flags, "timeout"),
        start_period=_interval(flags, "start-period"),
        start_interval=_interval(flags, "start-interval"),
        retries=int(retries.text) if retries else 0,
    )
    return ast.Healthcheck(check=check, **_common(statement))


def _interval(flags: Flags, name: str) -> int:
    word = flags.get(name)
    if word is None:
        return 0
    try:
        found = parse_duration(word.text)
    except ValueError as error:
        raise refuse(word.range, str(error), hint="write durations like 30s, 1m30s or 500ms") from None
    if found and found < 1_000_000:
        raise refuse(word.range, f'Interval "{name}" cannot be less than 1ms')
    return found


def _onbuild(statement: Statement, flags: Flags) -> ast.Onbuild:
    child = statement.child
    if child is None:
        raise refuse(statement.range, "ONBUILD requires at least one argument")
    if child.name == "ONBUILD":
        raise refuse(child.range, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if child.name in _NO_TRIGGERS:
        raise refuse(child.range, f"{child.name} isn't allowed as an ONBUILD trigger")
    build_instruction(child)
    bodies = "".join(f"\n{heredoc.body}{heredoc.mark.name}" for heredoc in statement.heredocs)
    return ast.Onbuild(trigger=child.text + bodies, **_common(statement))


_BUILDERS: dict[str, Callable[[Statement, Flags], ast.Instruction]] = {
    "ADD": _add,
    "ARG": _arg,
    "CMD": lambda s, f: ast.Cmd(command=_command(s), **_common(s)),
    "COPY": _copy,
    "ENTRYPOINT": lambda s, f: ast.Entrypoint(command=_command(s), **_common(s)),
    "ENV": lambda s, f: ast.Env(pairs=_pairs(s), **_common(s)),
    "EXPOSE": lambda s, f: ast.Expose(ports=_some(s), **_common(s)),
    "FROM": _from,
    "HEALTHCHECK": _healthcheck,
    "LABEL": lambda s, f: ast.Label(pairs=_pairs(s), **_common(s)),
    "MAINTAINER": lambda s, f: ast.Maintainer(name=_one(s).text, **_common(s)),
    "ONBUILD": _onbuild,
    "RUN": _run,
    "SHELL": _shell,
    "STOPSIGNAL": lambda s, f: ast.StopSignal(signal=_one(s), **_common(s)),
    "USER": lambda s, f: ast.User(user=_one(s), **_common(s)),
    "VOLUME": _volume,
    "WORKDIR": lambda s, f: ast.Workdir(path=_one(s), **_common(s)),
}
