"""``compose down``, ``start``, ``stop``, ``restart``, ``kill``, ``rm``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from labdock.commands import compose
from labdock.commands.results import Result, Text
from labdock.commands.tree import command
from labdock.errors import InvalidRequest

if TYPE_CHECKING:
    from labdock.commands.face import Face
    from labdock.compose.project import Deployment

some = click.argument("services", nargs=-1)
timeout_option = click.option("-t", "--timeout", type=int, help="Specify a shutdown timeout in seconds")


def _deployment(face: Face, services: tuple[str, ...]) -> Deployment:
    found = compose.deploy(face, services)
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
    deployment.down(services, volumes=volumes, orphans=remove_orphans, timeout=timeout, images=rmi)
    return Text("")


@command("start")
@some
@click.pass_obj
def start(face: Face, /, services: tuple[str, ...]) -> Result:
    """Start services."""
    deployment = _deployment(face, services)
    found = list(reversed(deployment.backwards(services)))
    if not found:
        raise InvalidRequest("there is nothing to start", hint="`compose up -d` makes the containers")
    for each in found:
        if each.state != "running":
            face.client.containers.start(each.id)
            face.say(f"Container {each.name} Started")
    return Text("")


@command("stop")
@timeout_option
@some
@click.pass_obj
def stop(face: Face, /, services: tuple[str, ...], timeout: int | None) -> Result:
    """Stop services."""
    deployment = _deployment(face, services)
    for each in deployment.backwards(services):
        deployment.stop(each, timeout)
    return Text("")


@command("restart")
@timeout_option
@some
@click.pass_obj
def restart(face: Face, /, services: tuple[str, ...], timeout: int | None) -> Result:
    """Restart service containers."""
    deployment = _deployment(face, services)
    for each in reversed(deployment.backwards(services)):
        face.client.containers.restart(each.id, timeout=timeout)
        face.say(f"Container {each.name} Restarted")
    return Text("")


@command("kill")
@click.option("-s", "--signal", default="SIGKILL", help="SIGNAL to send to the container")
@some
@click.pass_obj
def kill(face: Face, /, services: tuple[str, ...], signal: str) -> Result:
    """Force stop service containers."""
    for each in _deployment(face, services).backwards(services, all=False):
        face.client.containers.kill(each.id, signal)
        face.say(f"Container {each.name} Killed")
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
        for each in deployment.backwards(services):
            deployment.stop(each)
    going = [each for each in deployment.backwards(services) if each.state not in ("running", "paused", "restarting")]
    if not going:
        face.say("No stopped containers")
        return Text("")
    if not force:
        names = ", ".join(each.name for each in going)
        if face.ask(f"Going to remove {names}\nAre you sure? [yN] ").strip().lower() not in ("y", "yes"):
            return Text("")
    for each in going:
        face.client.containers.remove(each.id, volumes=volumes)
        face.say(f"Container {each.name} Removed")
    return Text("")
