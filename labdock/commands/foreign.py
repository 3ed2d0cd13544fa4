"""Docker's options and commands for what there is not here: they are known, and say so when they are used.

An option is *refused* (an error), *discarded* (a warning, as Docker's own engine discards it), or *taken* (it asks for
what happens anyway).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from labdock.errors import Unavailable, Unsupported

F = TypeVar("F", bound=Callable[..., Any])

NO_SWARM = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm '
    "and try again."
)
SWARM_HINT = "labdock is one machine's engine; `labdock compose` runs several containers from one file"


def _option(
    names: tuple[str, ...], text: str, flag: bool, act: Callable[[click.Context, Any], None]
) -> Callable[[F], F]:
    def callback(context: click.Context, _option: click.Parameter, value: Any) -> None:
        if value not in (None, False, ()):
            act(context, value)

    shape: dict[str, Any] = {"is_flag": True} if flag else {"multiple": True}
    return click.option(*names, help=text, expose_value=False, callback=callback, **shape)


def refused(*names: str, words: str, hint: str | None = None, flag: bool = False, text: str = "") -> Callable[[F], F]:
    """An option that raises Unsupported with *words* when it is given."""

    def act(_context: click.Context, _value: Any) -> None:
        raise Unsupported(words, hint=hint)

    return _option(names, text or "Not supported here: an error", flag, act)


def swarm_only(*names: str, flag: bool = False) -> Callable[[F], F]:
    """An option that only a Swarm has."""

    def act(_context: click.Context, _value: Any) -> None:
        raise Unavailable(NO_SWARM, hint=SWARM_HINT)

    return _option(names, "Swarm only: an error", flag, act)


def experimental(*names: str, flag: bool = False) -> Callable[[F], F]:
    """An option of Docker's experimental engines."""
    words = f'"{names[-1]}" is only supported on a Docker daemon with experimental features enabled'
    return refused(*names, words=words, flag=flag, text="Experimental in Docker: an error")


def discarded(*names: str, why: str, flag: bool = False) -> Callable[[F], F]:
    """An option that is answered by a warning."""

    def act(context: click.Context, _value: Any) -> None:
        context.obj.say(f"WARNING: {names[-1]} is discarded: {why}")

    return _option(names, f"Discarded with a warning: {why}", flag, act)


def taken(*names: str, why: str, flag: bool = True) -> Callable[[F], F]:
    """An option that asks for what happens anyway."""
    return _option(names, f"Taken for docker's sake: {why}", flag, lambda _context, _value: None)


def _command(name: str, act: Callable[[], None], text: str) -> click.Command:
    settings = {"ignore_unknown_options": True, "allow_interspersed_args": False}

    @click.command(name, context_settings=settings, help=text)
    @click.argument("words", nargs=-1, type=click.UNPROCESSED)
    def refuse(words: tuple[str, ...]) -> None:
        act()

    return refuse


def _swarm() -> None:
    raise Unavailable(NO_SWARM, hint=SWARM_HINT)


def _checkpoints() -> None:
    raise Unsupported("docker checkpoint is only supported on a Docker daemon with experimental features enabled")


def _trust() -> None:
    raise Unsupported("labdock does not sign images with Notary v1", hint="digests pin what is pulled: IMAGE@sha256:…")


SWARM = {
    name: _command(name, _swarm, "Swarm only.") for name in ("config", "node", "secret", "service", "stack", "swarm")
}
config, node, secret, service, stack, swarm = SWARM.values()
checkpoint = _command("checkpoint", _checkpoints, "Experimental in Docker.")
trust = _command("trust", _trust, "Signatures by Notary v1.")

_CLUSTER = (
    *("availability", "group", "limit-bytes", "required-bytes", "scope", "secret", "sharing"),
    *("topology-preferred", "topology-required", "type"),
)


def cluster_options(function: F) -> F:
    """Decorator: what ``volume create`` takes for a Swarm's volumes."""
    for name in reversed(_CLUSTER):
        function = swarm_only(f"--{name}")(function)
    return function


#: What a step of a build is not limited by here.
_UNLIMITED = (
    *(("--cgroup-parent",), ("--cpu-period",), ("--cpu-quota",), ("-c", "--cpu-shares"), ("--cpuset-cpus",)),
    *(("--cpuset-mems",), ("-m", "--memory"), ("--memory-swap",), ("--ulimit",)),
)


def build_options(function: F) -> F:
    """Decorator: what ``build`` takes from Docker's classic builder."""
    for names in reversed(_UNLIMITED):
        function = discarded(*names, why="the steps of a build are not limited")(function)
    words = "The daemon on this platform does not support setting security options on build"
    function = refused("--security-opt", words=words)(function)
    squash = '"--squash" is only supported on a Docker daemon with experimental features enabled'
    function = refused("--squash", words=squash, hint="several stages with COPY --from leave layers out", flag=True)(
        function
    )
    function = taken("--isolation", why="Linux has one technology", flag=False)(function)
    function = taken("--compress", why="the context goes over a local socket", flag=True)(function)
    return trust_option(function)


def trust_option(function: F) -> F:
    """Decorator: ``--disable-content-trust``; signatures by Notary v1 are never looked at."""
    return taken("--disable-content-trust", why="Notary's signatures are not looked at")(function)


def windows_options(function: F) -> F:
    """Decorator: what ``run`` and ``create`` take for Windows and for kernels of old."""
    for name in ("--cpu-count", "--cpu-percent", "--io-maxbandwidth", "--io-maxiops"):
        there = "a Docker daemon running on windows, but the Docker daemon is running on linux"
        words = f'"{name}" is only supported on {there}'
        function = refused(name, words=words)(function)
    return discarded("--kernel-memory", why="kernels no longer have such a limit")(trust_option(function))
