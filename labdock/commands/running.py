"""``run`` and ``create``."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import click

from labdock.commands.create_options import create_options, request_from
from labdock.commands.results import Exited, Result, Text
from labdock.commands.tree import command
from labdock.errors import Conflict, InvalidRequest, LabdockError, NoSuchImage

if TYPE_CHECKING:
    from labdock.client import Client
    from labdock.client.results import Created
    from labdock.commands.face import Face
    from labdock.schema.container import CreateRequest


class RunFailed(LabdockError):
    """The container could not be created (125), or its command not run (126: not executable, 127: not found)."""

    def __init__(self, error: LabdockError, exit_code: int = 125) -> None:
        super().__init__(error.message, hint=error.hint)
        self.exit_code = exit_code


class ContainerTarget:
    """A container in the foreground."""

    def __init__(self, client: Client, id: str) -> None:
        self._client = client
        self._id = id

    def resize(self, rows: int, columns: int) -> None:
        self._client.containers.resize(self._id, rows, columns)

    def signal(self, name: str) -> None:
        self._client.containers.kill(self._id, name)

    def end(self) -> None:
        """The user gave up: stop it at once. Raises nothing."""
        with contextlib.suppress(LabdockError):
            self._client.containers.stop(self._id, timeout=0)


@command("run", stops=True)
@create_options
@click.option("-a", "--attach", multiple=True, help="Attach to STDIN, STDOUT or STDERR")
@click.option("-d", "--detach", is_flag=True, help="Run container in background and print container ID")
@click.option("--detach-keys", help="Override the key sequence for detaching a container")
@click.option("--sig-proxy/--no-sig-proxy", default=True, help="Proxy received signals to the process")
@click.argument("image")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def run(face: Face, /, image: str, command: tuple[str, ...], **options: Any) -> Result:
    """Create and run a new container from an image."""
    try:
        return run_image(face, image, command, options)
    except LabdockError as error:
        raise run_failure(error) from error


def run_image(face: Face, image: str, command: tuple[str, ...], options: dict[str, Any]) -> Result:
    """Create, start and (unless detached) follow a container; *options* are those of ``run``."""
    detach, attach = options["detach"], {name.lower() for name in options["attach"]}
    if detach and attach:
        raise InvalidRequest("conflicting options: cannot specify both --attach and --detach")
    stdin = options["interactive"] or "stdin" in attach
    if stdin and options["tty"] and not detach:
        face.check_tty()
    request = request_from(image, command, options, attach=not detach, stdin=stdin)
    created = create_container(face, request, options)
    if detach and stdin and face.keeps_results and face.read_input().strip():
        face.say("note: with -d the cell's body is not sent to the program")
    if detach:
        face.client.containers.start(created.id)
        return started(face, created.id)
    return foreground(face, created.id, options, stdin=stdin, only=attach - {"stdin"})


def run_failure(error: LabdockError) -> LabdockError:
    """*error* with docker's exit code for it: 125, 126, 127."""
    if hasattr(error, "exit_code"):
        return error
    words = error.message.lower()
    if any(part in words for part in ("executable file not found", "no such file or directory", "not found in $path")):
        return RunFailed(error, 127 if not isinstance(error, NoSuchImage) else 125)
    if "permission denied" in words or "is a directory" in words:
        return RunFailed(error, 126)
    return RunFailed(error)


def foreground(face: Face, id: str, options: dict[str, Any], *, stdin: bool, only: set[str]) -> Result:
    """Attach and wait before the start, so that neither the first byte nor the end is missed."""
    containers = face.client.containers
    tty = options["tty"]
    target = ContainerTarget(face.client, id)
    attached = containers.attach(
        id,
        tty=tty,
        stdin=stdin,
        stdout=not only or "stdout" in only,
        stderr=not only or "stderr" in only,
        detach_keys=options["detach_keys"],
    )
    with attached:
        waiting = containers.prepare_wait(id, "removed" if options["rm"] else "next-exit")
        try:
            try:
                containers.start(id)
            except LabdockError:
                if options["rm"]:
                    _forget(face, id)
                raise
            face.converse(attached, target, stdin=stdin, tty=tty, proxy_signals=options["sig_proxy"])
            if tty and containers_detached(face, id):
                return Exited(0)
            return Exited(waiting.result().status_code)
        except (KeyboardInterrupt, BrokenPipeError):
            if options["sig_proxy"]:
                target.end()
            raise
        finally:
            waiting.close()


def containers_detached(face: Face, id: str) -> bool:
    """After a conversation on a TTY ended: whether the user detached (the container runs on)."""
    try:
        return face.client.containers.inspect(id).state.running
    except LabdockError:
        return False


def _forget(face: Face, id: str) -> None:
    with contextlib.suppress(LabdockError):
        face.client.containers.remove(id, force=True, volumes=True)


def create_container(face: Face, request: CreateRequest, options: dict[str, Any]) -> Created:
    """Create; an image that is not here is pulled first unless ``--pull never``. Warnings are said."""
    client, platform = face.client, options["platform"]
    given = None
    if options["use_api_socket"]:
        from labdock.commands.api_socket import ApiSocket

        given = ApiSocket(client)
        request = given.add_to(request)
    image = request.image or ""

    def pull_image() -> None:
        from labdock.commands import pulling

        pulling.pull_image(face, image, platform, quiet=options["quiet"])

    if options["pull"] == "always":
        pull_image()
    try:
        created = client.containers.create(request, name=options["name"], platform=platform)
    except NoSuchImage:
        if options["pull"] == "never":
            raise
        face.say(f"Unable to find image '{image}' locally")
        pull_image()
        created = client.containers.create(request, name=options["name"], platform=platform)
    except Conflict as error:
        if error.hint is None and "already in use" in error.message:
            error.hint = f"`rm -f {options['name']}` removes the one that has it, or choose another --name"
        raise
    for warning in created.warnings:
        face.say(f"WARNING: {warning}")
    if given is not None:
        given.put(face, created.id)
    if options["cidfile"]:
        _write_id(options["cidfile"], created.id)
    return created


def split_tag(image: str) -> tuple[str, str]:
    """(name, tag or digest) with the tag ``latest`` by default."""
    name, at, digest = image.partition("@")
    if at:
        return name, digest
    before, colon, tag = image.rpartition(":")
    return (before, tag) if colon and "/" not in tag else (image, "latest")


def _write_id(path: str, id: str) -> None:
    try:
        with open(path, "x", encoding="ascii") as out:
            out.write(id)
    except OSError as error:
        raise InvalidRequest(f"failed to create the container ID file: {path}: {error.strerror}") from error


def started(face: Face, id: str) -> Result:
    """What a started container is shown as: its id in a terminal, a card with its ports in a notebook."""
    if not face.keeps_results:
        return Text(id)
    from labdock.commands.cards import ContainerCard
    from labdock.commands.ports import find_links

    return ContainerCard(face.client.containers.inspect(id), find_links(face.environment))


@command("create", stops=True)
@create_options
@click.option("-a", "--attach", multiple=True, help="Attach to STDIN, STDOUT or STDERR")
@click.argument("image")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def create(face: Face, /, image: str, command: tuple[str, ...], **options: Any) -> Result:
    """Create a new container."""
    try:
        stdin = options["interactive"] or "stdin" in {name.lower() for name in options["attach"]}
        request = request_from(image, command, options, attach=True, stdin=stdin)
        return started(face, create_container(face, request, options).id)
    except LabdockError as error:
        raise RunFailed(error) from error
