"""``compose up`` and ``scale``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from labdock.commands import compose
from labdock.commands.compose_logs import Interleaved, coloured
from labdock.commands.results import Exited, Result, Text
from labdock.commands.tree import command
from labdock.errors import InvalidRequest

if TYPE_CHECKING:
    from labdock.commands.face import Face
    from labdock.compose.project import Deployment


def scales(texts: tuple[str, ...]) -> dict[str, int]:
    """``{"web": 3}`` from ``web=3``. Raises InvalidRequest."""
    found = {}
    for text in texts:
        name, _, count = text.partition("=")
        if not name or not count.isdecimal():
            raise InvalidRequest(f"invalid scale: {text!r}", hint="SERVICE=NUMBER")
        found[name] = int(count)
    return found


@command("up")
@click.option("-d", "--detach", is_flag=True, help="Detached mode: Run containers in the background")
@click.option("--build", is_flag=True, help="Build images before starting containers")
@click.option("--force-recreate", is_flag=True, help="Recreate containers even if nothing of them changed")
@click.option("--no-recreate", is_flag=True, help="If containers already exist, don't recreate them")
@click.option("--no-start", is_flag=True, help="Don't start the services after creating them")
@click.option("--no-deps", is_flag=True, help="Don't start linked services")
@click.option("--remove-orphans", is_flag=True, help="Remove containers for services not defined in the file")
@click.option("--scale", "texts", multiple=True, help="Scale SERVICE to NUM instances")
@click.option("--wait", is_flag=True, help="Wait for services to be running|healthy. Implies detached mode")
@click.option("--wait-timeout", type=int, help="Maximum duration in seconds to wait for the project to be ready")
@click.option("-t", "--timeout", type=int, help="Shutdown timeout in seconds of containers that are replaced")
@click.option("-V", "--renew-anon-volumes", is_flag=True, help="Recreate anonymous volumes")
@click.option("--abort-on-container-exit", is_flag=True, help="Stop all containers if any container was stopped")
@click.option("--exit-code-from", help="Return the exit code of the selected service container")
@click.option("--pull", type=click.Choice(["always", "missing", "never"]), help="Pull image before running")
@click.option("--quiet-pull", is_flag=True, help="Pull without printing progress information")
@click.option("--no-color", is_flag=True, help="Produce monochrome output")
@click.option("--no-log-prefix", is_flag=True, help="Don't print prefix in logs")
@click.argument("services", nargs=-1)
@click.pass_obj
def up(face: Face, /, services: tuple[str, ...], **options: Any) -> Result:
    """Create and start containers."""
    from labdock.compose.project import Ways

    if options["force_recreate"] and options["no_recreate"]:
        raise InvalidRequest("--force-recreate and --no-recreate are incompatible")
    watched = options["abort_on_container_exit"] or options["exit_code_from"]
    detach = options["detach"] or options["wait"] or options["no_start"]
    if watched and detach:
        raise InvalidRequest("--abort-on-container-exit and --exit-code-from can't go with --detach")
    deployment = compose.deploy(face, services, pull=options["pull"], quiet=options["quiet_pull"])
    if options["exit_code_from"]:
        deployment.check_names([options["exit_code_from"]])
    if options["build"]:
        for name, service in deployment.project.services.items():
            if "build" in service and (not services or name in services):
                compose.build_service(face, deployment.project, name, quiet=options["quiet_pull"])
                service.pop("pull_policy", None)
    limit = options["wait_timeout"]
    deadline = None if limit is None else time.monotonic() + limit
    ways = Ways(
        force_recreate=options["force_recreate"],
        no_recreate=options["no_recreate"],
        no_start=options["no_start"],
        no_deps=options["no_deps"],
        remove_orphans=options["remove_orphans"],
        scale=scales(options["texts"]),
        timeout=options["timeout"],
        renew=options["renew_anon_volumes"],
        deadline=deadline,
    )
    began = time.time()
    made = deployment.up(services, ways)
    if options["wait"]:
        deployment.wait_all(services, deadline, limit)
    if detach:
        return _shown(face, deployment)
    return _attached(face, deployment, set(made), began, options)


def _shown(face: Face, deployment: Deployment) -> Result:
    """A terminal has seen the lines; a notebook is shown the containers."""
    if not face.keeps_results:
        return Text("")
    from labdock.commands.compose_showing import table

    return table(deployment.containers())


def _attached(face: Face, deployment: Deployment, made: set[str], began: float, options: dict[str, Any]) -> Result:
    found = [each for each in deployment.containers() if each.id in made]
    watched = options["abort_on_container_exit"] or options["exit_code_from"]
    lines = Interleaved(
        face.client,
        found,
        follow=True,
        since=f"{began:.9f}",
        colour=coloured(face, options["no_color"]),
        prefix=not options["no_log_prefix"],
    )
    try:
        for stream, data in lines:
            if data:
                face.write(stream, data)
            if watched and lines.ended:
                break
    except KeyboardInterrupt:
        face.say("Gracefully stopping...")
        deployment.stop(timeout=options["timeout"], only=made)
        raise
    if not watched:
        return Exited(0)
    wanted = options["exit_code_from"]
    first = lines.ended[0].id if lines.ended else found[0].id
    deployment.stop(timeout=options["timeout"], only=made)
    id = deployment.find(wanted) if wanted else first
    return Exited(face.client.containers.wait(id).status_code)


@command("scale")
@click.option("--no-deps", is_flag=True, help="Don't start linked services")
@click.argument("texts", nargs=-1, required=True, metavar="SERVICE=NUM...")
@click.pass_obj
def scale(face: Face, /, texts: tuple[str, ...], no_deps: bool) -> Result:
    """Scale services."""
    from labdock.compose.project import Ways

    wanted = scales(texts)
    deployment = compose.deploy(face, tuple(wanted))
    deployment.up(tuple(wanted), Ways(scale=wanted, no_deps=no_deps, no_recreate=True))
    return _shown(face, deployment)
