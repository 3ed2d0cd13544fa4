"""The instructions of the language, typed and frozen. Words with variables are kept unexpanded, with their ranges."""

from __future__ import annotations

import posixpath
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field

from labdock.build.dockerfile.lines import Directive
from labdock.build.dockerfile.source import Range, Word
from labdock.build.dockerfile.statements import Heredoc
from labdock.schema.container import HealthcheckConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """``text`` is the instruction as written, continuations joined; ``flags`` as written, without quotes."""

    keyword: str
    text: str
    range: Range
    flags: tuple[str, ...] = ()
    comments: tuple[str, ...] = ()

    @property
    def head(self) -> Word:
        """The keyword as written."""
        where, length = self.range, len(self.keyword)
        return Word(self.text[:length], Range(where.line, where.column, where.line, where.column + length))


@dataclass(frozen=True, slots=True)
class Pair:
    """A name and its value. ``old_form``: ``ENV name value``, without "="."""

    name: Word
    value: Word
    old_form: bool = False


@dataclass(frozen=True, slots=True)
class Declared:
    """One argument of ARG; ``default`` None: it has none."""

    name: str
    default: Word | None
    range: Range


@dataclass(frozen=True, slots=True)
class Command:
    """A command line: ``args`` as given in JSON, or one text for the SHELL (``shell``)."""

    args: tuple[str, ...]
    shell: bool
    heredocs: tuple[Heredoc, ...] = ()


@dataclass(frozen=True, slots=True)
class Inline:
    """A file of COPY or ADD that is a heredoc."""

    name: str
    content: str
    expand: bool
    range: Range


@dataclass(frozen=True, slots=True)
class MountFlag:
    """A ``--mount`` as written, its variables still in it. ``origin`` is its ``from=`` ("": the context)."""

    text: str
    range: Range
    origin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A ``--mount``, its variables replaced (:func:`labdock.build.dockerfile.mounts.read_mount`).

    ``type``: bind, cache, tmpfs, secret or ssh. ``origin``: the stage, image or context named by ``from=``, "" is the
    context (cache: nothing). ``target`` may be relative to the WORKDIR, or "" (secret, ssh: see ``secret_target``).
    ``size`` in bytes, 0: no limit. ``sharing`` "": not said, which is shared. ``env`` None: a secret's file only.
    """

    range: Range
    type: str = "bind"
    origin: str = ""
    source: str = ""
    target: str = ""
    read_only: bool = True
    size: int = 0
    id: str = ""
    sharing: str = ""
    required: bool = False
    env: str | None = None
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None

    @property
    def key(self) -> str:
        """The id a secret, an ssh agent or a cache goes by."""
        if self.type == "secret":
            return self.source or self.id or posixpath.basename(self.target.rstrip("/"))
        if self.type == "ssh":
            return self.id or "default"
        return self.id or posixpath.normpath(self.target or ".")

    @property
    def secret_target(self) -> str | None:
        """Where a secret's file goes; None when it is only a variable."""
        if self.target or self.env is not None:
            return self.target or None
        return f"/run/secrets/{posixpath.basename(self.key.rstrip('/'))}"


@dataclass(frozen=True, slots=True)
class Device:
    """A ``--device``: a CDI name, or a class of them."""

    name: str
    required: bool
    range: Range


@dataclass(frozen=True, slots=True, kw_only=True)
class From(Instruction):
    """``name`` is in lower case; ``marks`` are ``AS`` and the name as written, where they were."""

    base: Word
    name: str = ""
    platform: Word | None = None
    marks: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Arg(Instruction):
    declared: tuple[Declared, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Env(Instruction):
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Label(Instruction):
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Instruction):
    command: Command
    mounts: tuple[MountFlag, ...] = ()
    network: str = "default"
    security: str = "sandbox"
    devices: tuple[Device, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer(Instruction):
    """What COPY and ADD share. ``excludes`` are patterns relative to each copied folder."""

    sources: tuple[Word, ...]
    inlines: tuple[Inline, ...] = ()
    destination: Word
    chown: Word | None = None
    chmod: Word | None = None
    link: bool = False
    excludes: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy(Transfer):
    source: Word | None = None
    parents: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Add(Transfer):
    """``checksum``: ``sha256:…`` for a URL, a commit or its beginning for git. None: not said."""

    checksum: Word | None = None
    keep_git_dir: bool | None = None
    unpack: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workdir(Instruction):
    path: Word


@dataclass(frozen=True, slots=True, kw_only=True)
class User(Instruction):
    user: Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Expose(Instruction):
    ports: tuple[Word, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume(Instruction):
    paths: tuple[Word, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cmd(Instruction):
    command: Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrypoint(Instruction):
    command: Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell(Instruction):
    args: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StopSignal(Instruction):
    signal: Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthcheck(Instruction):
    check: HealthcheckConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Onbuild(Instruction):
    """``trigger`` is what runs in a child image; heredoc bodies included."""

    trigger: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintainer(Instruction):
    name: str


@dataclass(frozen=True, slots=True)
class Stage:
    """FROM and what follows it. ``index`` counts from 0."""

    index: int
    start: From
    instructions: tuple[Instruction, ...]

    @property
    def name(self) -> str:
        return self.start.name


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """A parsed Dockerfile. ``arguments`` are the ARGs before the first FROM.

    ``empty_continuations``: for an instruction's first line, the first blank line among its continuations.
    ``named``: the numbers of the stages of each name, in order.
    """

    directives: tuple[Directive, ...]
    escape: str
    arguments: tuple[Arg, ...]
    stages: tuple[Stage, ...]
    empty_continuations: tuple[tuple[int, Range], ...] = ()
    named: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def find(self, name: str, before: int) -> int | None:
        """The last stage called *name*, in any case, in front of stage number *before*."""
        numbers = self.named.get(name.lower(), ())
        at = bisect_left(numbers, before)
        return numbers[at - 1] if at else None
