"""``compose down``, ``start``, ``stop``, ``restart``, ``pause``, ``unpause``, ``kill``, ``rm``."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from labdock.commands import compose
from labdock.commands.results import Result, Text
from labdock.commands.tree import command

if TYPE_CHECKING:
    from labdock.client.results import ContainerSummary
    from labdock.commands.face import Face
    from labdock.compose.project import Deployment

some = click.argument("services", nargs=-1)
#: States of a container that runs somehow.
LIVELY = ("running", "paused", "restarting")
timeout_option = click.option("-t", "--timeout", type=int, help="Specify a shutdown timeout in seconds")


def _deployment(face: Face, services: tuple[str, ...]) -> Deployment:
    found = compose.deploy(face, services, by_labels=True)
    found.check_names(services)
    return found


@command("down")
@click.option("-v", "--volumes", is_flag=True, help="Remove the project's volumes and anonymous volumes")
@click.option("--rmi", type=click.Choice(["all", "local"]), help="Remove images used by services")
@click.option("--remove-orphans", is_flag=True, help="Remove containers for services not defined in the file")
@timeout_option
@some
@click.pass_obj
def down(
    face: Face, /, services: tuple[str, ...], volumes: bool, rmi: str | None, remove_orphans: bool, timeout: int | None
) -> Result:
    """Stop and remove containers and networks."""
    deployment = _deployment(face, services)
    # By its name it is all that is there when its turn comes, which may be more than a moment ago.
    remove_orphans |= compose.is_by_name()
    deployment.down(services, volumes=volumes, orphans=remove_orphans, timeout=timeout, images=rmi)
    return Text("")


@command("start")
@click.option("--wait", is_flag=True, help="Wait for services to be running|healthy")
@click.option("--wait-timeout", type=int, help="Maximum duration in seconds to wait for the project to be ready")
@some
@click.pass_obj
def start(face: Face, /, services: tuple[str, ...], wait: bool, wait_timeout: int | None) -> Result:
    """Start services."""
    deployment = _deployment(face, services)
    deadline = None if wait_timeout is None else time.monotonic() + wait_timeout
    deployment.start(services, deadline=deadline)
    if wait:
        deployment.wait_all(services, deadline, wait_timeout)
    return Text("")


@command("stop")
@timeout_option
@some
@click.pass_obj
def stop(face: Face, /, services: tuple[str, ...], timeout: int | None) -> Result:
    """Stop services."""
    _deployment(face, services).stop(services, timeout)
    return Text("")


@command("restart")
@click.option("--no-deps", is_flag=True, help="Don't restart dependent services")
@timeout_option
@some
@click.pass_obj
def restart(face: Face, /, services: tuple[str, ...], timeout: int | None, no_deps: bool) -> Result:
    """Restart service containers."""
    _deployment(face, services).restart(services, timeout, no_deps=no_deps)
    return Text("")


@command("pause")
@some
@click.pass_obj
def pause(face: Face, /, services: tuple[str, ...]) -> Result:
    """Pause services."""
    _each(face, services, "running", face.client.containers.pause, "Paused")
    return Text("")


@command("unpause")
@some
@click.pass_obj
def unpause(face: Face, /, services: tuple[str, ...]) -> Result:
    """Unpause services."""
    _each(face, services, "paused", face.client.containers.unpause, "Unpaused")
    return Text("")


def _each(face: Face, services: tuple[str, ...], state: str, act: Callable[[str], None], done: str) -> None:
    """*act* on all that are in *state*, those that need others first."""
    deployment = _deployment(face, services)

    def change(each: ContainerSummary) -> None:
        if each.state == state:
            act(each.id)
            deployment.crew.say(f"Container {each.name} {done}")

    deployment.backwards(services, change)


@command("kill")
@click.option("-s", "--signal", default="SIGKILL", help="SIGNAL to send to the container")
@click.option("--remove-orphans", is_flag=True, help="Remove containers for services not defined in the file")
@some
@click.pass_obj
def kill(face: Face, /, services: tuple[str, ...], signal: str, remove_orphans: bool) -> Result:
    """Force stop service containers."""
    if remove_orphans:
        deployment = _deployment(face, services)
        for each in deployment.orphans():
            deployment.members.remove(each)
    _each(face, services, "running", lambda id: face.client.containers.kill(id, signal), "Killed")
    return Text("")


@command("rm")
@click.option("-f", "--force", is_flag=True, help="Don't ask to confirm removal")
@click.option("-s", "--stop", "stop_first", is_flag=True, help="Stop the containers, if required, before removing")
@click.option("-v", "--volumes", is_flag=True, help="Remove any anonymous volumes attached to containers")
@some
@click.pass_obj
def remove(face: Face, /, services: tuple[str, ...], force: bool, stop_first: bool, volumes: bool) -> Result:
    """Remove stopped service containers."""
    deployment = _deployment(face, services)
    if stop_first:
        deployment.stop(services)
    going = [each for each in deployment.containers(services) if each.state not in LIVELY]
    if not going:
        face.say("No stopped containers")
        return Text("")
    if not force:
        names = ", ".join(each.name for each in going)
        if face.ask(f"Going to remove {names}\nAre you sure? [yN] ").strip().lower() not in ("y", "yes"):
            return Text("")
    ids = {each.id for each in going}
    with deployment.turn.taken("rm"):
        deployment.backwards(
            services, lambda each: deployment.members.remove(each, volumes=volumes) if each.id in ids else None
        )
    return Text("")
