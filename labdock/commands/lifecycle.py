"""``start``, ``stop``, ``restart``, ``kill``, ``rm``, ``pause``, ``unpause``, ``rename``, ``wait``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from labdock.commands.foreign import experimental
from labdock.commands.results import Exited, Result, Text
from labdock.commands.tree import command
from labdock.errors import InvalidRequest, LabdockError

if TYPE_CHECKING:
    from labdock.commands.face import Face

containers = click.argument("containers", nargs=-1, required=True)


class SomeFailed(LabdockError):
    """Of several things asked for, some could not be done; the message has a line for each."""

    exit_code = 1


def each(face: Face, names: Sequence[str], act: Callable[[str], str | None]) -> Result:
    """*act* on every name, going on after failures as Docker does; what was done, or SomeFailed.

    *act* gives what to print for the name: None for the name itself, "" for nothing.
    """
    done: list[str] = []
    failures: list[LabdockError] = []
    for name in names:
        try:
            said = act(name)
        except LabdockError as error:
            failures.append(error)
            continue
        if said != "":
            done.append(name if said is None else said)
    if not failures:
        return Text("\n".join(done))
    if len(names) == 1:
        raise failures[0]
    if done:
        face.write("stdout", ("\n".join(done) + "\n").encode())
    hint = next((error.hint for error in failures if error.hint), None)
    raise SomeFailed("\n".join(error.message for error in failures), hint=hint)


@command("start")
@click.option("-a", "--attach", is_flag=True, help="Attach STDOUT/STDERR and forward signals")
@experimental("--checkpoint")
@experimental("--checkpoint-dir")
@click.option("-i", "--interactive", is_flag=True, help="Attach container's STDIN")
@click.option("--detach-keys", help="Override the key sequence for detaching a container")
@containers
@click.pass_obj
def start(
    face: Face, /, containers: tuple[str, ...], attach: bool, interactive: bool, detach_keys: str | None
) -> Result:
    """Start one or more stopped containers."""
    if not attach and not interactive:

        def act(name: str) -> None:
            face.client.containers.start(name)

        return each(face, containers, act)
    if len(containers) > 1:
        raise InvalidRequest("you cannot start and attach multiple containers at once")
    from labdock.commands.running import ContainerTarget, containers_detached

    api = face.client.containers
    found = api.inspect(containers[0])
    stdin = interactive and bool(found.raw.get("Config", {}).get("OpenStdin"))
    with api.attach(found.id, tty=found.tty, stdin=stdin, detach_keys=detach_keys) as attached:
        condition = "removed" if found.raw.get("HostConfig", {}).get("AutoRemove") else "next-exit"
        waiting = api.prepare_wait(found.id, condition)
        try:
            api.start(found.id)
            face.converse(attached, ContainerTarget(face.client, found.id), stdin=stdin, tty=found.tty)
            if found.tty and containers_detached(face, found.id):
                return Exited(0)
            return Exited(waiting.result().status_code)
        finally:
            waiting.close()


@command("stop")
@click.option("-t", "--timeout", "--time", "timeout", type=int, help="Seconds to wait before killing the container")
@click.option("-s", "--signal", help="Signal to send to the container")
@containers
@click.pass_obj
def stop(face: Face, /, containers: tuple[str, ...], timeout: int | None, signal: str | None) -> Result:
    """Stop one or more running containers."""

    def act(name: str) -> None:
        face.client.containers.stop(name, timeout=timeout, signal=signal)

    return each(face, containers, act)


@command("restart")
@click.option("-t", "--timeout", "--time", "timeout", type=int, help="Seconds to wait before killing the container")
@click.option("-s", "--signal", help="Signal to send to the container")
@containers
@click.pass_obj
def restart(face: Face, /, containers: tuple[str, ...], timeout: int | None, signal: str | None) -> Result:
    """Restart one or more containers."""

    def act(name: str) -> None:
        face.client.containers.restart(name, timeout=timeout, signal=signal)

    return each(face, containers, act)


@command("kill")
@click.option("-s", "--signal", help="Signal to send to the container")
@containers
@click.pass_obj
def kill(face: Face, /, containers: tuple[str, ...], signal: str | None) -> Result:
    """Kill one or more running containers."""
    return each(face, containers, lambda name: face.client.containers.kill(name, signal))


@command("rm")
@click.option("-f", "--force", is_flag=True, help="Force the removal of a running container (uses SIGKILL)")
@click.option("-l", "--link", is_flag=True, help="Remove the specified link")
@click.option("-v", "--volumes", is_flag=True, help="Remove anonymous volumes associated with the container")
@containers
@click.pass_obj
def remove(face: Face, /, containers: tuple[str, ...], force: bool, link: bool, volumes: bool) -> Result:
    """Remove one or more containers."""
    from labdock.errors import NoSuchContainer

    def act(name: str) -> str | None:
        try:
            face.client.containers.remove(name, force=force, volumes=volumes, link=link)
        except NoSuchContainer as error:
            # As docker: with --force a missing container is said and is no failure.
            if not force:
                raise
            face.say(f"Error response from daemon: {error.message}")
            return ""
        return None

    return each(face, containers, act)


@command("pause")
@containers
@click.pass_obj
def pause(face: Face, /, containers: tuple[str, ...]) -> Result:
    """Pause all processes within one or more containers."""
    return each(face, containers, lambda name: face.client.containers.pause(name))


@command("unpause")
@containers
@click.pass_obj
def unpause(face: Face, /, containers: tuple[str, ...]) -> Result:
    """Unpause all processes within one or more containers."""
    return each(face, containers, lambda name: face.client.containers.unpause(name))


@command("rename")
@click.argument("container")
@click.argument("new_name")
@click.pass_obj
def rename(face: Face, /, container: str, new_name: str) -> None:
    """Rename a container."""
    face.client.containers.rename(container, new_name)


@command("wait")
@containers
@click.pass_obj
def wait(face: Face, /, containers: tuple[str, ...]) -> Result:
    """Block until containers stop, then print their exit codes."""
    try:
        return each(face, containers, lambda name: str(face.client.containers.wait(name).status_code))
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted; the containers go on") from None
