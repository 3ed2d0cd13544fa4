"""``engine start|stop|status|logs|env`` and ``doctor``: labdock's own engine as a thing to manage."""

from __future__ import annotations

import os
import shlex
import sys
from collections import deque
from typing import TYPE_CHECKING, Any

import click
import msgspec

from labdock.commands import units
from labdock.commands.results import Exited, Result, Text, visible
from labdock.commands.tree import command
from labdock.errors import Conflict, InvalidRequest, LabdockError

if TYPE_CHECKING:
    from labdock.commands.face import Face


def _program(module: str, *args: str) -> tuple[int, str, str]:
    """Run one of the daemon's own small programs: (exit code, stdout, stderr)."""
    import subprocess

    done = subprocess.run(
        [sys.executable, "-m", module, *args],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@command("start")
@click.option("--debug", is_flag=True, help="Log a line for each request (`labdock engine logs`)")
@click.option("--host-loopback", is_flag=True, help="Let containers reach this machine's loopback")
@click.option(
    "--storage-driver",
    type=click.Choice(["overlay", "fuse-overlayfs", "copy", "flat"]),
    help="How images and containers are kept (default: the store's own, or the best this machine allows)",
)
@click.pass_obj
def start(face: Face, /, debug: bool, host_loopback: bool, storage_driver: str | None) -> Result:
    """Start the engine if it does not run."""
    from labdock.client import engine

    chosen = {"LABDOCK_STORAGE_DRIVER": storage_driver} if storage_driver else {}
    for asked, option, variable, what in (
        (host_loopback, "--host-loopback", "LABDOCK_HOST_LOOPBACK", "what containers may reach"),
        (debug, "--debug", "LABDOCK_DEBUG", "what is logged"),
    ):
        if not asked:
            continue
        # It is the engine that this start makes which listens to it, not one that runs.
        if msgspec.json.decode(_program("labdock.daemon.status")[1] or "{}").get("running"):
            raise Conflict(
                f"the engine runs already: {what} is decided when it starts",
                hint=f"labdock engine stop, then labdock engine start {option}",
            )
        chosen[variable] = "1"
    socket = engine.start({**os.environ, **chosen})
    if storage_driver and (found := face.client.system.info()["Driver"]) != storage_driver:
        raise Conflict(
            f"the engine runs already, with the storage driver {found}, not {storage_driver}",
            hint="`labdock engine stop` first",
        )
    return Text(f"The engine runs at {socket}")


@command("stop")
@click.pass_obj
def stop(face: Face, /) -> Result:
    """Stop the engine and everything in it. Containers stay and can be started again."""
    from labdock.client import engine

    code, out, errors = _program("labdock.daemon.stop")
    if code != 0:
        raise engine.diagnosis(errors, code)
    return Text(out.strip() or "The engine has stopped")


@command("status")
@click.option("--format", "form", help="json for everything, or a Go template")
@click.pass_obj
def status(face: Face, /, form: str | None) -> Result:
    """Say whether the engine runs, and how. Exit code 1 when it does not."""
    code, out, errors = _program("labdock.daemon.status")
    try:
        found: dict[str, Any] = msgspec.json.decode(out)
    except msgspec.MsgspecError as error:
        from labdock.client import engine

        raise engine.diagnosis(errors or out, code) from error
    if form:
        from labdock.commands.results import unescape
        from labdock.commands.template import Template

        shown = Text(out.strip() if form == "json" else Template(unescape(form)).render(found))
    else:
        shown = Text(
            "\n".join(f"{_words(name)}: {_value(value)}" for name, value in found.items() if value is not None)
        )
    running = found.get("running")
    shown.exit_code = 0 if running or (running is None and code == 0) else 1
    return shown


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_value, value)) or "none"
    if isinstance(value, dict):
        return " ".join(f"{units.size(item, 3)}" if name == "pss" else str(item) for name, item in value.items())
    return str(value)


@command("logs")
@click.option("-n", "--tail", type=int, default=200, help="Number of lines to show from the end")
@click.pass_obj
def logs(face: Face, /, tail: int) -> Result:
    """Show the engine's own log."""
    from labdock.schema.paths import locate

    path = locate(os.environ, os.getuid()).log
    try:
        with path.open(errors="replace") as source:
            lines = deque(source, maxlen=max(tail, 0))
    except FileNotFoundError as error:
        raise InvalidRequest(f"there is no log at {path}", hint="the engine writes it once it has started") from error
    # Requests and containers of hostile names are in it.
    text = "".join(lines)
    face.write("stdout", (visible(text) if face.output_is_terminal() else text).encode())
    return Exited(0)


@command("env")
@click.option("-u", "--unset", is_flag=True, help="Unset the variable instead of setting it")
@click.pass_obj
def environment(face: Face, /, unset: bool) -> Result:
    """Print the shell line that points docker at this engine: eval "$(labdock engine env)"."""
    from labdock.client.engine import own_socket

    if unset:
        return Text("unset DOCKER_HOST")
    return Text(f"export DOCKER_HOST={shlex.quote(f'unix://{own_socket(os.environ)}')}")


@command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print the probes as JSON")
@click.pass_obj
def doctor(face: Face, /, as_json: bool) -> Result:
    """Say what this machine allows, what each limit costs, what would lift it and who can."""
    code, out, errors = _program("labdock.host.doctor", *(("--json",) if as_json else ()))
    if code != 0 and not out.strip():
        message, _, hint = errors.strip().partition("\nhint: ")
        raise LabdockError(message.strip() or f"the doctor ended with {code}", hint=hint.strip() or None)
    shown = Text(out.rstrip("\n"))
    shown.exit_code = code
    return shown
