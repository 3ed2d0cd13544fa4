"""``compose build``, ``pull``, ``push``, ``images``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

from labdock.commands import compose, foreign, units
from labdock.commands.compose_listing import listed
from labdock.commands.results import Result, Text, mark_short
from labdock.commands.tree import command
from labdock.compose.plan import order
from labdock.errors import LabdockError

if TYPE_CHECKING:
    from labdock.commands.face import Face
    from labdock.compose.project import Deployment

some = click.argument("services", nargs=-1)


@command("build")
@click.option("--build-arg", multiple=True, help="Set build-time variables for services")
@click.option("--no-cache", is_flag=True, help="Do not use cache when building the image")
@click.option("--pull", is_flag=True, help="Always attempt to pull a newer version of the image")
@click.option("--push", "pushes", is_flag=True, help="Push service images")
@click.option("-q", "--quiet", is_flag=True, help="Suppress the build output")
@click.option("--ssh", help="Set SSH authentications used when building service images")
@click.option("--with-dependencies", is_flag=True, help="Also build dependencies (transitively)")
@foreign.discarded("--builder", why="there is one builder, the engine's own")
@foreign.discarded("-m", "--memory", why="steps of builds have no memory limit")
@some
@click.pass_obj
def build(face: Face, /, services: tuple[str, ...], build_arg: tuple[str, ...], **options: Any) -> Result:
    """Build or rebuild services."""
    deployment = compose.deploy(face, services)
    wanted = _with_needs(deployment, services, options["with_dependencies"])
    built = [name for name in wanted if "build" in deployment.project.services[name]]
    for name in built:
        if options["ssh"]:
            key, _, path = options["ssh"].partition("=")
            deployment.project.services[name]["build"]["ssh"] = {key: path or None}
        ways = {key: options[key] for key in ("quiet", "no_cache", "pull")}
        compose.build_service(face, deployment.project, name, arguments=build_arg, **ways)
    if options["pushes"]:
        named = [deployment.project.services[name].get("image") for name in built]
        for image in dict.fromkeys(filter(None, named)):
            _push(face, image, options["quiet"])
    return Text("")


def _with_needs(deployment: Deployment, services: tuple[str, ...], needs: bool) -> list[str]:
    """*services* (else all), and with *needs* what they depend on. Raises InvalidRequest for one that is not there."""
    deployment.check_names(services)
    known = deployment.project.services
    return (
        order(deployment.project.needs(), services)
        if needs
        else [name for name in known if name in services or not services]
    )


def _push(face: Face, image: str, quiet: bool) -> None:
    from labdock.commands import pulling

    with pulling.push.make_context("push", ["-q"] * quiet + ["--", image], obj=face) as ready:
        pulling.push.invoke(ready)


def _each(face: Face, images: Iterable[Any], act: Callable[[Any], None], *, ignore: bool) -> None:
    """*act* on each; *ignore*: what fails is said, and the rest is gone on with."""
    for image in images:
        try:
            act(image)
        except LabdockError as error:
            if not ignore:
                raise
            face.say(f"WARNING: {error.message}")


@command("pull")
@click.option("--ignore-buildable", is_flag=True, help="Ignore images that can be built")
@click.option("--ignore-pull-failures", is_flag=True, help="Pull what it can and ignores images with pull failures")
@click.option("--include-deps", is_flag=True, help="Also pull services declared as dependencies")
@click.option("--policy", type=click.Choice(["missing", "always"]), help="Apply pull policy")
@click.option("-q", "--quiet", is_flag=True, help="Pull without printing progress information")
@some
@click.pass_obj
def pull(face: Face, /, services: tuple[str, ...], quiet: bool, **options: Any) -> Result:
    """Pull service images."""
    from labdock.commands import pulling

    deployment = compose.deploy(face, services)
    chosen = [deployment.project.services[name] for name in _with_needs(deployment, services, options["include_deps"])]
    wanted = {
        (service["image"], service.get("platform"))
        for service in chosen
        if "image" in service and not (options["ignore_buildable"] and "build" in service)
        if options["policy"] != "missing" or not deployment.has_image(service["image"])
    }

    def act(what: tuple[str, str | None]) -> None:
        pulling.pull_image(face, *what, quiet=quiet)

    _each(face, sorted(wanted, key=str), act, ignore=options["ignore_pull_failures"])
    return Text("")


@command("push")
@click.option("--ignore-push-failures", is_flag=True, help="Push what it can and ignores images with push failures")
@click.option("--include-deps", is_flag=True, help="Also push images of services declared as dependencies")
@click.option("-q", "--quiet", is_flag=True, help="Push without printing progress information")
@some
@click.pass_obj
def push(
    face: Face, /, services: tuple[str, ...], quiet: bool, ignore_push_failures: bool, include_deps: bool
) -> Result:
    """Push the images of services that are built."""
    deployment = compose.deploy(face, services)
    chosen = [deployment.project.services[name] for name in _with_needs(deployment, services, include_deps)]
    found = [service["image"] for service in chosen if {"image", "build"} <= service.keys()]
    _each(face, dict.fromkeys(found), lambda image: _push(face, image, quiet), ignore=ignore_push_failures)
    if not found:
        face.say("note: only services with both 'build' and 'image' are pushed, and there are none")
    return Text("")


@command("images")
@click.option("--format", "form", help="Format output using a Go template: table, json, TEMPLATE")
@click.option("-q", "--quiet", is_flag=True, help="Only display IDs")
@some
@click.pass_obj
def images(face: Face, /, services: tuple[str, ...], form: str | None, quiet: bool) -> Result:
    """List images used by the created containers."""
    deployment = compose.deploy(face, services, by_labels=True)
    deployment.check_names(services)
    rows = []
    for each in deployment.containers(services):
        found = face.client.images.inspect(str(each.raw.get("ImageID") or each.image))
        name, _, tag = (
            each.image.rpartition(":") if ":" in each.image.rpartition("/")[2] else (each.image, "", "latest")
        )
        rows.append(
            {
                "ContainerName": each.name,
                "Repository": name,
                "Tag": tag,
                "Platform": f"{found.raw.get('Os', '')}/{found.raw.get('Architecture', '')}",
                "ID": mark_short(found.id, whole=quiet),
                "Size": found.size if form == "json" else units.size(found.size, 3),
                "Created": str(found.raw.get("Created", "")),
            }
        )
    columns = [("CONTAINER", "ContainerName"), ("REPOSITORY", "Repository"), ("TAG", "Tag"), ("PLATFORM", "Platform")]
    columns += [("IMAGE ID", "ID"), ("SIZE", "Size")]
    if quiet:
        return Text("\n".join(dict.fromkeys(str(row["ID"]) for row in rows)))
    return listed(rows, columns, form)
