"""What an image's config becomes, instruction by instruction: those that change no file. No I/O."""

from __future__ import annotations

import json
import posixpath
import re
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from labdock.build.dockerfile import instructions as ast
from labdock.build.dockerfile.ports import read_port
from labdock.build.dockerfile.source import Word, refuse
from labdock.build.dockerfile.words import LexError, split
from labdock.build.plan import Plan, expand_word
from labdock.build.scope import Scope
from labdock.schema.oci import History, ImageConfig, RuntimeConfig

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_SHELL = ("/bin/sh", "-c")
_REALTIME = re.compile(r"RTMIN(?:\+([0-9]{1,2}))?\Z|RTMAX(?:-([0-9]{1,2}))?\Z")


@dataclass(slots=True)
class Draft:
    """The image of a stage as it grows. ``config`` lacks ``env``, which is ``scope``'s until :meth:`finish`."""

    plan: Plan
    base: ImageConfig
    config: RuntimeConfig
    scope: Scope
    author: str = ""
    history: list[History] = field(default_factory=list)
    cmd_is_own: bool = False

    @classmethod
    def of_base(cls, plan: Plan, base: ImageConfig) -> Draft:
        return cls(plan, base, base.config, Scope.of_image(base.config.env), base.author, list(base.history))

    def child(self) -> Draft:
        """The start of a stage based on this one. Its CMD counts as inherited."""
        return Draft(self.plan, self.base, self.config, self.scope.child(), self.author, list(self.history))

    def change(self, **fields: object) -> None:
        self.config = msgspec.structs.replace(self.config, **fields)

    def expand(self, word: Word) -> str:
        return expand_word(word, self.scope.values, self.plan.dockerfile.escape)

    def split(self, word: Word) -> list[str]:
        try:
            return split(word.text, self.scope.values, self.plan.dockerfile.escape)
        except LexError as error:
            raise refuse(word.range, str(error)) from None

    @property
    def shell(self) -> tuple[str, ...]:
        return self.config.shell or DEFAULT_SHELL

    @property
    def workdir(self) -> str:
        return self.config.working_dir or "/"

    def command(self, command: ast.Command) -> tuple[str, ...]:
        """*command* as argv, the SHELL in front of its text form."""
        return (*self.shell, *command.args) if command.shell and command.args else command.args


def apply(draft: Draft, instruction: ast.Instruction) -> str | None:
    """Apply a config instruction; gives the text for the history, None when it is not one of these.

    Raises DockerfileError.
    """
    change = _CHANGES.get(type(instruction))
    return change(draft, instruction) if change else None


def _arg(draft: Draft, instruction: ast.Arg) -> str:
    values, shown = draft.scope.values, []
    for one in instruction.declared:
        plan = draft.plan
        found: str | None
        if one.name in plan.build_args:
            found = plan.build_args[one.name]
        elif one.default is not None:
            found = expand_word(one.default, values, plan.dockerfile.escape)
        else:
            found = plan.arguments.get(one.name)
        if found is not None:
            draft.scope.set_arg(one.name, found)
        shown.append(one.name if found is None else f"{one.name}={found}")
    return "ARG " + " ".join(shown)


def _pairs(draft: Draft, pairs: tuple[ast.Pair, ...]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name = draft.expand(pair.name)
        if not name:
            raise refuse(pair.name.range, "names can not be blank")
        found[name] = draft.expand(pair.value)
    return found


def _env(draft: Draft, instruction: ast.Env) -> str:
    found = _pairs(draft, instruction.pairs)
    for name, value in found.items():
        draft.scope.set_env(name, value)
    return "ENV " + " ".join(f"{name}={value}" for name, value in found.items())


def _label(draft: Draft, instruction: ast.Label) -> str:
    found = _pairs(draft, instruction.pairs)
    draft.change(labels={**draft.config.labels, **found})
    return "LABEL " + " ".join(f"{name}={value}" for name, value in found.items())


def _cmd(draft: Draft, instruction: ast.Cmd) -> str:
    args = draft.command(instruction.command)
    draft.change(cmd=args)
    draft.cmd_is_own = True
    return f"CMD {json.dumps(args, ensure_ascii=False)}"


def _entrypoint(draft: Draft, instruction: ast.Entrypoint) -> str:
    args = draft.command(instruction.command)
    draft.change(entrypoint=args or None)
    if not draft.cmd_is_own:
        draft.change(cmd=None)
    return f"ENTRYPOINT {json.dumps(args, ensure_ascii=False)}"


def _shell(draft: Draft, instruction: ast.Shell) -> str:
    draft.change(shell=instruction.args)
    return f"SHELL {json.dumps(instruction.args, ensure_ascii=False)}"


def _user(draft: Draft, instruction: ast.User) -> str:
    draft.change(user=draft.expand(instruction.user))
    return f"USER {draft.config.user}"


def _expose(draft: Draft, instruction: ast.Expose) -> str:
    ports = dict(draft.config.exposed_ports)
    shown = []
    for word in instruction.ports:
        for text in draft.split(word):
            try:
                found = read_port(text)
            except ValueError as error:
                raise refuse(word.range, str(error), hint="for example 80, 53/udp or 8000-8010") from None
            ports |= {key: {} for key in found.names()}
            shown.append(text)
    draft.change(exposed_ports=dict(sorted(ports.items())))
    return "EXPOSE " + " ".join(shown)


def _volume(draft: Draft, instruction: ast.Volume) -> str:
    paths = [path for word in instruction.paths for path in draft.split(word)]
    if not paths:
        raise refuse(instruction.range, "VOLUME specified can not be an empty string")
    draft.change(volumes={**draft.config.volumes, **{path: {} for path in paths}})
    return f"VOLUME {json.dumps(paths, ensure_ascii=False)}"


def _stop_signal(draft: Draft, instruction: ast.StopSignal) -> str:
    text = draft.expand(instruction.signal)
    if not is_signal(text):
        raise refuse(instruction.signal.range, f"invalid signal: {text}", hint="for example SIGTERM, INT or 15")
    draft.change(stop_signal=text)
    return f"STOPSIGNAL {text}"


def is_signal(text: str) -> bool:
    """Whether *text* is a signal's number, or its name with or without SIG, in any case."""
    if text.isascii() and text.isdigit():
        return 0 < int(text[:4]) <= signal.NSIG - 1
    name = text.upper().removeprefix("SIG")
    found = _REALTIME.match(name)
    if found:
        return int(found[1] or found[2] or 0) <= signal.SIGRTMAX - signal.SIGRTMIN
    return hasattr(signal, f"SIG{name}") and not name.startswith("_")


def _healthcheck(draft: Draft, instruction: ast.Healthcheck) -> str:
    draft.change(healthcheck=instruction.check)
    return instruction.text


def _onbuild(draft: Draft, instruction: ast.Onbuild) -> str:
    draft.change(on_build=(*draft.config.on_build, instruction.trigger))
    return f"ONBUILD {instruction.trigger}"


def _maintainer(draft: Draft, instruction: ast.Maintainer) -> str:
    draft.author = instruction.name
    return f"MAINTAINER {instruction.name}"


def move_workdir(draft: Draft, instruction: ast.Workdir) -> str:
    """Apply WORKDIR to the config; gives the new folder, absolute and normalised."""
    path = draft.expand(instruction.path)
    found = posixpath.normpath("/" + posixpath.join(draft.workdir, path))
    if "\0" in found:
        raise refuse(instruction.path.range, "WORKDIR can't hold a NUL character")
    # POSIX keeps two leading slashes apart; a container's path does not.
    found = "/" + found.lstrip("/")
    draft.change(working_dir=found)
    return found


_CHANGES: dict[type[ast.Instruction], Callable[[Draft, Any], str]] = {
    ast.Arg: _arg,
    ast.Env: _env,
    ast.Label: _label,
    ast.Cmd: _cmd,
    ast.Entrypoint: _entrypoint,
    ast.Shell: _shell,
    ast.User: _user,
    ast.Expose: _expose,
    ast.Volume: _volume,
    ast.StopSignal: _stop_signal,
    ast.Healthcheck: _healthcheck,
    ast.Onbuild: _onbuild,
    ast.Maintainer: _maintainer,
}
