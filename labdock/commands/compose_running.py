"""``compose exec``, ``cp`` and ``run``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from labdock.commands import compose, values
from labdock.commands.results import Result, Text
from labdock.commands.tree import command
from labdock.errors import InvalidRequest

if TYPE_CHECKING:
    from labdock.commands.face import Face


def _wants_tty(face: Face, no_tty: bool) -> bool:
    """Compose gives a terminal unless told not to, where there is one."""
    if no_tty or face.keeps_results or not face.output_is_terminal():
        return False
    try:
        face.check_tty()
    except InvalidRequest:
        return False
    return True


@command("exec", stops=True)
@click.option("-d", "--detach", is_flag=True, help="Detached mode: Run command in the background")
@click.option("-e", "--env", multiple=True, help="Set environment variables")
@click.option("-i", "--interactive", is_flag=True, default=True, help="Keep STDIN open even if not attached")
@click.option("-T", "--no-TTY", "no_tty", is_flag=True, help="Disable pseudo-TTY allocation")
@click.option("--index", type=int, default=0, help="Index of the container if service has multiple replicas")
@click.option("--privileged", is_flag=True, help="Give extended privileges to the process")
@click.option("-u", "--user", help="Run the command as this user")
@click.option("-w", "--workdir", help="Path to workdir directory for this command")
@click.argument("service")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def execute(face: Face, /, service: str, command: tuple[str, ...], **options: Any) -> Result | None:
    """Execute a command in a running container."""
    from labdock.commands import talking

    id = compose.deploy(face, (service,), by_labels=True).find(service, options["index"])
    words = [text for name in options["env"] for text in ("-e", name)]
    for name in ("user", "workdir"):
        words += [f"--{name}", options[name]] if options[name] else []
    words += [f"--{name}" for name in ("detach", "privileged") if options[name]]
    if not options["detach"]:
        words += ["-it"] if _wants_tty(face, options["no_tty"]) else [] if face.keeps_results else ["-i"]
    with talking.execute.make_context("exec", [*words, id, *command], obj=face) as ready:
        found: Result | None = talking.execute.invoke(ready)
    return found


@command("cp")
@click.option("-a", "--archive", is_flag=True, help="Archive mode (copy all uid/gid information)")
@click.option("-L", "--follow-link", is_flag=True, help="Always follow symbol link in SRC_PATH")
@click.option("--index", type=int, default=0, help="Index of the container if service has multiple replicas")
@click.argument("source", metavar="SRC_PATH|SERVICE:SRC_PATH|-")
@click.argument("target", metavar="DEST_PATH|SERVICE:DEST_PATH|-")
@click.pass_obj
def copy(face: Face, /, source: str, target: str, archive: bool, follow_link: bool, index: int) -> Result | None:
    """Copy files between a service container and this machine."""
    from labdock.commands import copying

    services = tuple(text.partition(":")[0] for text in (source, target) if _names_service(text))
    deployment = compose.deploy(face, services, by_labels=True)
    words = ["-a"] * archive + ["-L"] * follow_link + ["--"]
    for text in (source, target):
        service, _, path = text.partition(":")
        words.append(f"{deployment.find(service, index)}:{path}" if _names_service(text) else text)
    with copying.copy.make_context("cp", words, obj=face) as ready:
        found: Result | None = copying.copy.invoke(ready)
    return found


def _names_service(text: str) -> bool:
    """``SERVICE:PATH`` rather than a path of this machine that has a colon in it."""
    return ":" in text and not text.startswith((".", "/"))


@command("run", stops=True)
@click.option("--build", is_flag=True, help="Build image before starting container")
@click.option("--cap-add", multiple=True, help="Add Linux capabilities")
@click.option("--cap-drop", multiple=True, help="Drop Linux capabilities")
@click.option("-d", "--detach", is_flag=True, help="Run container in background and print container ID")
@click.option("--entrypoint", help="Override the entrypoint of the image")
@click.option("-e", "--env", multiple=True, help="Set environment variables")
@click.option("--env-from-file", multiple=True, help="Set environment variables from file")
@click.option("-i", "--interactive/--no-interactive", default=True, help="Keep STDIN open even if not attached")
@click.option("-l", "--label", multiple=True, help="Add or override a label")
@click.option("--name", help="Assign a name to the container")
@click.option("-T", "--no-TTY", "no_tty", is_flag=True, help="Disable pseudo-TTY allocation")
@click.option("--no-deps", is_flag=True, help="Don't start linked services")
@click.option("-p", "--publish", multiple=True, help="Publish a container's port(s) to the host")
@click.option("-P", "--service-ports", is_flag=True, help="Run command with all service's ports enabled")
@click.option("--pull", type=click.Choice(["always", "missing", "never"]), help="Pull image before running")
@click.option("-q", "--quiet", is_flag=True, help="Don't print anything but the program's output")
@click.option("--quiet-build", is_flag=True, help="Suppress progress output from the build process")
@click.option("--quiet-pull", is_flag=True, help="Pull without printing progress information")
@click.option("--remove-orphans", is_flag=True, help="Remove containers for services not defined in the file")
@click.option("--rm", is_flag=True, help="Automatically remove the container when it exits")
@click.option("--use-aliases", is_flag=True, help="Use the service's network aliases in the networks")
@click.option("-u", "--user", help="Run as specified username or uid")
@click.option("-v", "--volume", multiple=True, help="Bind mount a volume")
@click.option("-w", "--workdir", help="Working directory inside the container")
@click.argument("service")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def run(face: Face, /, service: str, command: tuple[str, ...], **options: Any) -> Result:
    """Run a one-off command on a service."""
    import secrets

    from labdock.commands.running import foreground, started
    from labdock.compose import labels, requests
    from labdock.compose.project import Ways

    quiet = options["quiet"] or options["quiet_pull"] or options["quiet_build"]
    deployment = compose.deploy(face, (service,), pull=options["pull"], quiet=quiet)
    deployment.check_names([service])
    project = deployment.project
    if options["quiet"]:
        deployment.crew.hear = lambda text: None
    if options["build"] and "build" in project.services[service]:
        compose.build_service(face, project, service, quiet=quiet)
    known = project.services[service] | {}
    needs = tuple(project.needs()[service]) if not options["no_deps"] else ()
    deployment.prepare(service, needs, Ways(remove_orphans=options["remove_orphans"]))
    slug = secrets.token_hex(32)
    _change(known, command, options)
    tty = not options["detach"] and _wants_tty(face, options["no_tty"])
    known["tty"] = tty
    known["stdin_open"] = options["interactive"] and not face.keeps_results and not options["detach"]
    image = face.client.images.inspect(requests.image_of(service, known, project)).id
    digest = labels.config_hash(known, project)
    mine = labels.of_container(service, 1, project, image=image, digest=digest, one_off=True) | {labels.SLUG: slug}
    mine |= values.key_values(options["label"])
    aliases = options["use_aliases"]
    request = requests.request_for(service, known, project, labels=mine, find=deployment.members.find, aliases=aliases)
    called = options["name"] or f"{project.name}-{service}-run-{slug[:12]}"
    id = deployment.members.create(service, known, request, called, aliases=aliases)
    if options["detach"]:
        face.client.containers.start(id)
        return started(face, id) if face.keeps_results else Text(called)
    try:
        ways = {"tty": tty, "detach_keys": None, "rm": False, "sig_proxy": True}
        return foreground(face, id, ways, stdin=bool(known["stdin_open"]), only=set())
    finally:
        if options["rm"]:
            face.client.containers.remove(id, force=True, volumes=True)


def _change(service: Any, command: tuple[str, ...], options: dict[str, Any]) -> None:
    """*service* as the options of ``run`` want it; ports are published only when asked for."""
    from pathlib import Path

    from labdock.compose import short_forms
    from labdock.compose.document import Where

    place = Where("the command line", 0, (), Path.cwd())
    if command:
        service["command"] = list(command)
    if options["entrypoint"] is not None:
        service["entrypoint"] = [options["entrypoint"]] if options["entrypoint"] else []
    for option, key in (("user", "user"), ("workdir", "working_dir")):
        if options[option]:
            service[key] = options[option]
    for option in ("cap_add", "cap_drop"):
        service[option] = [*service.get(option, ()), *options[option]]
    given = values.environment(options["env"], options["env_from_file"], os.environ)
    service["environment"] = {
        **service.get("environment", {}),
        **{name: value for name, equals, value in (text.partition("=") for text in given) if equals},
    }
    ports = list(service.get("ports", ())) if options["service_ports"] else []
    for text in options["publish"]:
        made = short_forms.port(text, place)
        ports += made
    service["ports"] = ports
    service["volumes"] = [
        *service.get("volumes", ()),
        *(short_forms.volume(text, place) for text in options["volume"]),
    ]
    for key in ("restart", "container_name"):
        service.pop(key, None)
