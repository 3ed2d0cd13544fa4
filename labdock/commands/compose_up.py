"""``compose up`` and ``scale``."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import click

from labdock.commands import compose, compose_table, foreign
from labdock.commands.compose_output import Interleaved, Query, coloured
from labdock.commands.results import Exited, Result, Text
from labdock.commands.tree import command
from labdock.errors import InvalidRequest

if TYPE_CHECKING:
    from labdock.commands.face import Face
    from labdock.compose.project import Deployment, Ways


def scales(texts: tuple[str, ...]) -> dict[str, int]:
    """``{"web": 3}`` from ``web=3``. Raises InvalidRequest."""
    found = {}
    for text in texts:
        name, _, count = text.partition("=")
        if not name or not count.isdecimal():
            raise InvalidRequest(f"invalid scale: {text!r}", hint="SERVICE=NUMBER")
        found[name] = int(count)
    return found


PULL = ("always", "missing", "never")
#: What ``create`` hands on.
KEEPING = ("force_recreate", "no_recreate", "remove_orphans")
WATCH_HINT = "mount the sources in `volumes`, or run `compose up -d --build` again"


@command("up")
@click.option("-d", "--detach", is_flag=True, help="Detached mode: Run containers in the background")
@click.option("--build", is_flag=True, help="Build images before starting containers")
@click.option("--no-build", is_flag=True, help="Don't build an image, even if it's policy")
@click.option("--quiet-build", is_flag=True, help="Suppress the build output")
@click.option("-y", "--yes", is_flag=True, help='Assume "yes" as answer to all prompts: there are none')
@click.option("--menu", is_flag=True, help="There is no menu of shortcuts")
@foreign.refused("-w", "--watch", flag=True, words="compose up --watch is not supported", hint=WATCH_HINT)
@click.option("--always-recreate-deps", is_flag=True, help="Recreate dependent containers")
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
@click.option("--abort-on-container-failure", is_flag=True, help="Stop all containers if any exited with failure")
@click.option("--attach", multiple=True, help="Restrict attaching to the specified services")
@click.option("--attach-dependencies", is_flag=True, help="Automatically attach to log output of dependent services")
@click.option("--no-attach", multiple=True, help="Do not attach (stream logs) to the specified services")
@click.option("--timestamps", is_flag=True, help="Show timestamps")
@click.option("--exit-code-from", help="Return the exit code of the selected service container")
@click.option("--pull", type=click.Choice(PULL), help="Pull image before running")
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
    aborts = ("abort_on_container_exit", "abort_on_container_failure", "exit_code_from")
    watched = any(options[name] for name in aborts)
    detach = options["detach"] or options["wait"] or options["no_start"]
    if watched and detach:
        raise InvalidRequest(
            "--abort-on-container-exit, --abort-on-container-failure and --exit-code-from can't go with --detach"
        )
    deployment = compose.deploy(face, services, pull=options["pull"], quiet=options["quiet_pull"])
    if options["exit_code_from"]:
        deployment.check_names([options["exit_code_from"]])
    see_to_builds(face, deployment, services, options)
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
        recreate_needs=options["always_recreate_deps"],
        deadline=deadline,
    )
    if not detach:
        return _attached(face, deployment, services, ways, options)
    with compose_table.shown(face, deployment, services):
        deployment.up(services, ways)
        if options["wait"]:
            deployment.wait_all(services, deadline, limit)
    return _shown(face, deployment)


def see_to_builds(face: Face, deployment: Deployment, services: tuple[str, ...], options: dict[str, Any]) -> None:
    """What ``--build`` and ``--no-build`` want before anything is made."""
    if options["build"] and options["no_build"]:
        raise InvalidRequest("--build and --no-build are incompatible")
    quiet = options["quiet_pull"] or options["quiet_build"]
    for name, service in deployment.project.services.items():
        if options["no_build"] and "build" in service:
            service["pull_policy"] = "never"
        if options["build"] and "build" in service and (not services or name in services):
            compose.build_service(face, deployment.project, name, quiet=quiet)
            service.pop("pull_policy", None)


def _shown(face: Face, deployment: Deployment) -> Result:
    """A terminal has seen the lines; a notebook is shown the containers."""
    if not face.keeps_results:
        return Text("")
    from labdock.commands.compose_showing import table
    from labdock.commands.ports import find_links

    return table(deployment.containers(), find_links(face.environment))


def _attached(
    face: Face, deployment: Deployment, services: tuple[str, ...], ways: Ways, options: dict[str, Any]
) -> Result:
    """Show the output until all has ended, one has (when that is asked for), or the user gives up."""
    shown = _shown_services(deployment, services, options)
    query = Query(follow=True, since=f"{time.time():.9f}", timestamps=options["timestamps"])
    colour, prefix = coloured(face, options["no_color"]), not options["no_log_prefix"]
    crew = deployment.crew
    lines = Interleaved(face.client, [], query, colour=colour, prefix=prefix, again=True, told=crew.wake)
    with contextlib.closing(lines):
        made = _up_with_output(face, deployment, services, ways, lines, shown)
        return _until_over(face, deployment, made, lines, options)


def _up_with_output(
    face: Face,
    deployment: Deployment,
    services: tuple[str, ...],
    ways: Ways,
    lines: Interleaved,
    shown: set[str],
) -> list[str]:
    """``up``; what has started is heard while what needs it is still waiting. The ids of the containers."""
    from labdock.compose.containers import service_of
    from labdock.compose.settling import scale_of

    def show() -> None:
        for stream, data in lines.take():
            face.write(stream, data)

    project, crew = deployment.project, deployment.crew
    counts = {name: ways.scale.get(name, scale_of(project.services[name])) for name in shown & project.services.keys()}
    names = [deployment.members.name_of(name, n + 1) for name, count in counts.items() for n in range(count)]
    lines.listen(project.name, shown, names)
    crew.meanwhile = show
    try:
        with compose_table.telling(deployment):
            made = deployment.up(services, ways)
    finally:
        crew.meanwhile = lambda: None
    lines.join([each for each in deployment.containers() if each.id in made and service_of(each) in shown])
    return made


def _until_over(
    face: Face, deployment: Deployment, made: Collection[str], lines: Interleaved, options: dict[str, Any]
) -> Result:
    watched = options["abort_on_container_exit"] or options["exit_code_from"]

    def is_over() -> bool:
        """One ended, and that is to be the end of all."""
        return bool(lines.ended) and bool(watched or (options["abort_on_container_failure"] and lines.ended[-1].code))

    try:
        if not is_over():
            for stream, data in lines:
                if data:
                    face.write(stream, data)
                if is_over():
                    break
            else:
                return Exited(0)
        face.say("Aborting on container exit...")
        deployment.stop(timeout=options["timeout"], only=made)
    except KeyboardInterrupt:
        _give_up(face, deployment, made, options["timeout"])
        raise
    wanted = options["exit_code_from"]
    if not wanted:
        return Exited(lines.ended[-1].code)
    return Exited(face.client.containers.wait(deployment.find(wanted)).status_code)


def _shown_services(deployment: Deployment, services: tuple[str, ...], options: dict[str, Any]) -> set[str]:
    """The services whose output is shown: the named ones, else all but those that say ``attach: false``."""
    project = deployment.project
    deployment.check_names([*options["attach"], *options["no_attach"]])
    if options["attach"]:
        shown = set(options["attach"])
    elif services and not options["attach_dependencies"]:
        shown = set(services)
    else:
        shown = {name for name, service in project.services.items() if service.get("attach", True)}
    if options["exit_code_from"]:
        shown.add(options["exit_code_from"])
    return shown - set(options["no_attach"])


def _give_up(face: Face, deployment: Deployment, made: Collection[str], timeout: int | None) -> None:
    """Stop all; a second interrupt kills them. A cell that was interrupted is over soon: there they get a moment."""
    from labdock.errors import LabdockError

    if face.keeps_results:
        from labdock.commands.ending import end_all

        end_all(face.client, made)
        return
    face.say("Gracefully stopping... (interrupt once more to force)")
    try:
        deployment.stop(timeout=timeout, only=made)
    except KeyboardInterrupt:
        for id in made:
            with contextlib.suppress(LabdockError):
                face.client.containers.kill(id)


@command("create")
@click.option("--build", is_flag=True, help="Build images before starting containers")
@click.option("--no-build", is_flag=True, help="Don't build an image, even if it's policy")
@click.option("--quiet-build", is_flag=True, help="Suppress the build output")
@click.option("--force-recreate", is_flag=True, help="Recreate containers even if nothing of them changed")
@click.option("--no-recreate", is_flag=True, help="If containers already exist, don't recreate them")
@click.option("--pull", type=click.Choice(PULL), help="Pull image before running")
@click.option("--quiet-pull", is_flag=True, help="Pull without printing progress information")
@click.option("--remove-orphans", is_flag=True, help="Remove containers for services not defined in the file")
@click.option("--scale", "texts", multiple=True, help="Scale SERVICE to NUM instances")
@click.option("-y", "--yes", is_flag=True, help='Assume "yes" as answer to all prompts: there are none')
@click.argument("services", nargs=-1)
@click.pass_obj
def create(face: Face, /, services: tuple[str, ...], texts: tuple[str, ...], **options: Any) -> Result:
    """Create containers for services, without starting them."""
    from labdock.compose.project import Ways

    if options["force_recreate"] and options["no_recreate"]:
        raise InvalidRequest("--force-recreate and --no-recreate are incompatible")
    deployment = compose.deploy(face, services, pull=options["pull"], quiet=options["quiet_pull"])
    see_to_builds(face, deployment, services, options)
    ways = Ways(no_start=True, scale=scales(texts), **{name: options[name] for name in KEEPING})
    with compose_table.shown(face, deployment, services):
        deployment.up(services, ways)
    return _shown(face, deployment)


@command("scale")
@click.option("--no-deps", is_flag=True, help="Don't start linked services")
@click.argument("texts", nargs=-1, required=True, metavar="SERVICE=NUM...")
@click.pass_obj
def scale(face: Face, /, texts: tuple[str, ...], no_deps: bool) -> Result:
    """Scale services."""
    from labdock.compose.project import Ways

    wanted = scales(texts)
    deployment = compose.deploy(face, tuple(wanted))
    with compose_table.shown(face, deployment, tuple(wanted)):
        deployment.up(tuple(wanted), Ways(scale=wanted, no_deps=no_deps, no_recreate=True))
    return _shown(face, deployment)
