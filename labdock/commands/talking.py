"""``logs``, ``exec``, ``attach``."""

from __future__ import annotations

import contextlib
import re
import time
from typing import TYPE_CHECKING

import click

from labdock.commands import values
from labdock.commands.results import Exited, Result
from labdock.commands.tree import command
from labdock.errors import Conflict, InvalidRequest, LabdockError

if TYPE_CHECKING:
    from labdock.client import Client
    from labdock.commands.face import Face


@command("logs")
@click.option("-f", "--follow", is_flag=True, help="Follow log output")
@click.option("--since", help='Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m")')
@click.option("--until", help='Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m")')
@click.option("-n", "--tail", default="all", help="Number of lines to show from the end of the logs")
@click.option("-t", "--timestamps", is_flag=True, help="Show timestamps")
@click.option("--details", is_flag=True, help="Show extra details provided to logs")
@click.argument("container")
@click.pass_obj
def logs(
    face: Face,
    /,
    container: str,
    follow: bool,
    since: str | None,
    until: str | None,
    tail: str,
    timestamps: bool,
    details: bool,
) -> Result:
    """Fetch the logs of a container."""
    output = face.client.containers.logs(
        container,
        follow=follow,
        since=moment(since),
        until=moment(until),
        tail=tail,
        timestamps=timestamps,
    )
    with output:
        face.follow(output)
    return Exited(0)


def moment(text: str | None, now: float | None = None) -> str | None:
    """Seconds since the epoch as text from a timestamp (RFC 3339 or a part of it) or a Go duration ago."""
    if not text:
        return None
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return text
    if re.fullmatch(r"\d{4}-\d\d-\d\d.*", text):
        from datetime import UTC, datetime

        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            raise InvalidRequest(f'invalid timestamp "{text}"', hint="such as 2026-01-02T15:04:05Z, or 42m") from None
        found = found.astimezone() if found.tzinfo is None else found
        return f"{found.astimezone(UTC).timestamp():.9f}"
    return f"{(time.time() if now is None else now) - values.duration(text) / 10**9:.9f}"


class ExecTarget:
    """A command run in a container. It can only be spoken to: signals do not reach it, as in Docker.

    But when the terminal is gone in which it was (JupyterLab's was shut down, a window closed), it is told as any
    program in a terminal is: with Docker a shell and what runs in it stay in the container.
    """

    def __init__(self, client: Client, id: str, *, tty: bool = False) -> None:
        self._client = client
        self._id = id
        self._tty = tty

    def resize(self, rows: int, columns: int) -> None:
        self._client.execs.resize(self._id, rows, columns)

    def signal(self, name: str) -> None:
        if name == "HUP" and self._tty:
            # Engines that are not labdock's have no such endpoint.
            with contextlib.suppress(LabdockError):
                self._client.execs.kill(self._id, "HUP")
        if name in ("INT", "TERM", "HUP", "QUIT"):
            raise KeyboardInterrupt


@command("exec", stops=True)
@click.option("-d", "--detach", is_flag=True, help="Detached mode: run command in the background")
@click.option("--detach-keys", help="Override the key sequence for detaching a container")
@click.option("-e", "--env", multiple=True, help="Set environment variables")
@click.option("--env-file", multiple=True, help="Read in a file of environment variables")
@click.option("-i", "--interactive", is_flag=True, help="Keep STDIN open even if not attached")
@click.option("--privileged", is_flag=True, help="Give extended privileges to the command")
@click.option("-t", "--tty", is_flag=True, help="Allocate a pseudo-TTY")
@click.option("-u", "--user", help='Username or UID (format: "<name|uid>[:<group|gid>]")')
@click.option("-w", "--workdir", help="Working directory inside the container")
@click.argument("container")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def execute(
    face: Face,
    /,
    container: str,
    command: tuple[str, ...],
    detach: bool,
    detach_keys: str | None,
    env: tuple[str, ...],
    env_file: tuple[str, ...],
    interactive: bool,
    privileged: bool,
    tty: bool,
    user: str | None,
    workdir: str | None,
) -> Result | None:
    """Execute a command in a running container."""
    import os

    from labdock.schema.container import ExecConfig

    if interactive and tty and not detach:
        face.check_tty()
    size = face.terminal_size() if tty else None
    config = ExecConfig(
        attach_stdin=interactive and not detach,
        attach_stdout=not detach,
        attach_stderr=not detach,
        detach_keys=detach_keys or "",
        tty=tty,
        env=values.environment(env, env_file, os.environ) or None,
        cmd=command,
        privileged=privileged,
        user=user or "",
        working_dir=workdir or "",
        console_size=size,
    )
    execs = face.client.execs
    try:
        id = execs.create(container, config)
        if detach:
            execs.start_detached(id, tty=tty)
            return None
        with execs.start(id, tty=tty, size=size) as attached:
            try:
                face.converse(attached, ExecTarget(face.client, id, tty=tty), stdin=interactive, tty=tty)
            except KeyboardInterrupt:
                # In a terminal Docker lets it go on; a cell that was interrupted must leave nothing behind.
                if face.keeps_results:
                    _end(face, id)
                raise
    except LabdockError as error:
        raise _exec_failure(error, container) from error
    state = execs.inspect(id)
    return Exited(0 if state.running else state.exit_code)


def _end(face: Face, id: str) -> None:
    try:
        face.client.execs.kill(id)
    except LabdockError:
        face.say("note: the command goes on in the container: this engine can't end it")


def _exec_failure(error: LabdockError, container: str) -> LabdockError:
    from labdock.commands.running import RunFailed

    if isinstance(error, Conflict) and error.hint is None and "is not running" in error.message:
        error.hint = f"`start {container}` starts it again, `logs {container}` shows how it ended"
    words = error.message.lower()
    if "executable file not found" in words or "no such file or directory" in words:
        return RunFailed(error, 127)
    return RunFailed(error, 126) if "permission denied" in words else error


@command("attach")
@click.option("--detach-keys", help="Override the key sequence for detaching a container")
@click.option("--no-stdin", is_flag=True, help="Do not attach STDIN")
@click.option("--sig-proxy/--no-sig-proxy", default=True, help="Proxy all received signals to the process")
@click.argument("container")
@click.pass_obj
def attach(face: Face, /, container: str, detach_keys: str | None, no_stdin: bool, sig_proxy: bool) -> Result:
    """Attach local standard input, output, and error streams to a running container."""
    from labdock.commands.running import ContainerTarget, containers_detached

    api = face.client.containers
    found = api.inspect(container)
    if not found.state.running:
        raise InvalidRequest(
            "cannot attach to a stopped container, start it first", hint=f"`start -a {container}` does both"
        )
    if found.state.paused:
        raise InvalidRequest("cannot attach to a paused container, unpause it first", hint=f"`unpause {container}`")
    stdin = not no_stdin and bool((found.raw.get("Config") or {}).get("OpenStdin"))
    waiting = api.prepare_wait(found.id)
    try:
        with api.attach(found.id, tty=found.tty, stdin=stdin, detach_keys=detach_keys) as attached:
            target = ContainerTarget(face.client, found.id)
            try:
                face.converse(attached, target, stdin=stdin, tty=found.tty, proxy_signals=sig_proxy)
            except KeyboardInterrupt:
                # A cell has no other way to let go than an interrupt; what it did not start goes on.
                if not face.keeps_results:
                    raise
                face.say(f"detached: {container} goes on")
                return Exited(0)
        if containers_detached(face, found.id):
            return Exited(0)
        return Exited(waiting.result().status_code)
    finally:
        waiting.close()
