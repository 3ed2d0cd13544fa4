"""``compose attach``, ``commit``, ``export``, ``stats``, ``wait``: what is done with containers, by their services."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Any

import click

from labdock.commands import compose
from labdock.commands.results import Exited, Result
from labdock.commands.tree import command
from labdock.errors import InvalidRequest, LabdockError

if TYPE_CHECKING:
    from labdock.client.results import ContainerSummary
    from labdock.commands.face import Face

index_option = click.option(
    "--index", type=int, default=0, help="Index of the container if service has multiple replicas"
)


def _carry_out(face: Face, found: click.Command, name: str, words: list[str]) -> Result | None:
    """The command *found* of containers, with *words*."""
    with found.make_context(name, words, obj=face) as ready:
        result: Result | None = found.invoke(ready)
    return result


def _find(face: Face, service: str, index: int) -> str:
    return compose.deploy(face, (service,), by_labels=True).find(service, index)


@command("attach")
@click.option("--detach-keys", help="Override the key sequence for detaching from a container")
@index_option
@click.option("--no-stdin", is_flag=True, help="Do not attach STDIN")
@click.option("--sig-proxy/--no-sig-proxy", default=True, help="Proxy all received signals to the process")
@click.argument("service")
@click.pass_obj
def attach(
    face: Face, /, service: str, index: int, no_stdin: bool, sig_proxy: bool, detach_keys: str | None
) -> Result | None:
    """Attach input, output and errors to a service's running container."""
    from labdock.commands import talking

    words = ["--no-stdin"] * no_stdin + ["--sig-proxy" if sig_proxy else "--no-sig-proxy"]
    words += ["--detach-keys", detach_keys] if detach_keys else []
    return _carry_out(face, talking.attach, "attach", [*words, _find(face, service, index)])


@command("commit")
@click.option("-a", "--author", default="", help='Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")')
@click.option("-c", "--change", "changes", multiple=True, help="Apply Dockerfile instruction to the created image")
@index_option
@click.option("-m", "--message", default="", help="Commit message")
@click.option("-p", "--pause/--no-pause", default=True, help="Pause container during commit")
@click.argument("service")
@click.argument("name", metavar="[REPOSITORY[:TAG]]", required=False, default="")
@click.pass_obj
def commit(face: Face, /, service: str, name: str, index: int, pause: bool, **options: Any) -> Result | None:
    """Create a new image from a service container's changes."""
    from labdock.commands import copying

    words = ["--author", options["author"], "--message", options["message"], "--pause" if pause else "--no-pause"]
    words += [word for change in options["changes"] for word in ("--change", change)]
    return _carry_out(face, copying.commit, "commit", [*words, _find(face, service, index), *([name] if name else ())])


@command("export")
@index_option
@click.option("-o", "--output", help="Write to a file, instead of STDOUT")
@click.argument("service")
@click.pass_obj
def export(face: Face, /, service: str, output: str | None, index: int) -> Result | None:
    """Export a service container's files as a tar archive."""
    from labdock.commands import copying

    words = ["--output", output] if output else []
    return _carry_out(face, copying.export, "export", [*words, _find(face, service, index)])


@command("stats")
@click.option("-a", "--all", "all_", is_flag=True, help="Show all containers (default shows just running)")
@click.option("--format", "form", help="Format output using a Go template: table, 'table TEMPLATE', json, TEMPLATE")
@click.option("--no-stream", is_flag=True, help="Disable streaming stats and only pull the first result")
@click.option("--no-trunc", is_flag=True, help="Do not truncate output")
@click.argument("service", required=False)
@click.pass_obj
def stats(
    face: Face, /, service: str | None, all_: bool, form: str | None, no_stream: bool, no_trunc: bool
) -> Result | None:
    """Display a live stream of the containers' resource usage statistics."""
    from labdock.commands import usage

    services = (service,) if service else ()
    deployment = compose.deploy(face, services, by_labels=True)
    deployment.check_names(services)
    names = [each.name for each in deployment.containers(services, all=all_)]
    if not names:
        raise InvalidRequest("no container of the project runs", hint="`compose up -d` starts them")
    words = ["--no-stream"] * no_stream + ["--no-trunc"] * no_trunc + (["--format", form] if form else [])
    return _carry_out(face, usage.stats, "stats", [*words, "--", *names])


@command("wait")
@click.option("--down-project", is_flag=True, help="Drops project when the first container stops")
@click.argument("services", nargs=-1, required=True)
@click.pass_obj
def wait(face: Face, /, services: tuple[str, ...], down_project: bool) -> Result:
    """Block until containers of all the services stop; the exit code is that of the last that ended."""
    deployment = compose.deploy(face, services, by_labels=True)
    deployment.check_names(services)
    found = deployment.containers(services)
    if not found:
        raise InvalidRequest(f"no containers of {', '.join(services)}", hint="`compose up -d` makes them")
    ends: queue.SimpleQueue[tuple[str, int | LabdockError]] = queue.SimpleQueue()

    def follow(each: ContainerSummary) -> None:
        try:
            ends.put((each.name, face.client.containers.wait(each.id).status_code))
        except LabdockError as error:
            ends.put((each.name, error))

    for each in found:
        threading.Thread(target=follow, args=(each,), daemon=True).start()
    code = 0
    for _ in found:
        name, end = ends.get()
        if isinstance(end, LabdockError):
            raise end
        code = end
        face.write("stdout", f'container "{name}" exited with status code {code}\n'.encode())
        if down_project:
            deployment.down((), volumes=False, orphans=compose.is_by_name(), timeout=None, images=None)
            break
    return Exited(code)
