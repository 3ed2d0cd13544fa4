"""``compose build``, ``pull``, ``push``, ``images``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from labdock.commands import compose, units
from labdock.commands.results import Result, Text, mark_short, render
from labdock.commands.tree import command

if TYPE_CHECKING:
    from labdock.commands.face import Face

some = click.argument("services", nargs=-1)


@command("build")
@click.option("--build-arg", multiple=True, help="Set build-time variables for services")
@click.option("--no-cache", is_flag=True, help="Do not use cache when building the image")
@click.option("--pull", is_flag=True, help="Always attempt to pull a newer version of the image")
@click.option("-q", "--quiet", is_flag=True, help="Suppress the build output")
@some
@click.pass_obj
def build(
    face: Face, /, services: tuple[str, ...], build_arg: tuple[str, ...], no_cache: bool, pull: bool, quiet: bool
) -> Result:
    """Build or rebuild services."""
    deployment = compose.deploy(face, services)
    deployment.check_names(services)
    for name, service in deployment.project.services.items():
        if "build" in service and (not services or name in services):
            compose.build_service(
                face,
                deployment.project,
                name,
                quiet=quiet,
                no_cache=no_cache,
                pull=pull,
                arguments=build_arg,
            )
    return Text("")


@command("pull")
@click.option("--ignore-buildable", is_flag=True, help="Ignore images that can be built")
@click.option("-q", "--quiet", is_flag=True, help="Pull without printing progress information")
@some
@click.pass_obj
def pull(face: Face, /, services: tuple[str, ...], ignore_buildable: bool, quiet: bool) -> Result:
    """Pull service images."""
    from labdock.commands import pulling

    deployment = compose.deploy(face, services)
    deployment.check_names(services)
    wanted = {
        (service["image"], service.get("platform"))
        for name, service in deployment.project.services.items()
        if "image" in service and (not services or name in services) and not (ignore_buildable and "build" in service)
    }
    for image, platform in sorted(wanted, key=str):
        pulling.pull_image(face, image, platform, quiet=quiet)
    return Text("")


@command("push")
@click.option("-q", "--quiet", is_flag=True, help="Push without printing progress information")
@some
@click.pass_obj
def push(face: Face, /, services: tuple[str, ...], quiet: bool) -> Result:
    """Push the images of services that are built."""
    from labdock.commands import pulling

    deployment = compose.deploy(face, services)
    deployment.check_names(services)
    found = [
        service["image"]
        for name, service in deployment.project.services.items()
        if {"image", "build"} <= service.keys() and (not services or name in services)
    ]
    for image in dict.fromkeys(found):
        with pulling.push.make_context("push", ["-q"] * quiet + ["--", image], obj=face) as ready:
            pulling.push.invoke(ready)
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
                "Container": each.name,
                "Repository": name,
                "Tag": tag,
                "ID": mark_short(found.id, whole=False),
                "Size": units.size(found.size, 3),
            }
        )
    columns = (("CONTAINER", "Container"), ("REPOSITORY", "Repository"), ("TAG", "Tag"), ("IMAGE ID", "ID"))
    return render(rows, rows, (*columns, ("SIZE", "Size")), form=form, quiet="ID" if quiet else None)
