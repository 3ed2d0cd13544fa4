"""``images``, ``rmi``, ``tag``, ``history``, ``load``, ``save``, ``images bootstrap``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from labdock.commands import units
from labdock.commands.filters import filters
from labdock.commands.lifecycle import each
from labdock.commands.platforms import check as check_platform
from labdock.commands.platforms import parse as parse_platform
from labdock.commands.platforms import platform_option
from labdock.commands.results import Result, Row, Text, mark_short, render
from labdock.commands.running import split_tag
from labdock.commands.tree import command
from labdock.errors import InvalidRequest, NoSuchImage

if TYPE_CHECKING:
    from labdock.client.progress import JobLine
    from labdock.client.results import ImageSummary
    from labdock.commands.face import Face

COLUMNS = (
    ("REPOSITORY", "Repository"),
    ("TAG", "Tag"),
    ("IMAGE ID", "ID"),
    ("CREATED", "CreatedSince"),
    ("SIZE", "Size"),
)


@command("images")
@click.option("-a", "--all", "all_", is_flag=True, help="Show all images (default hides intermediate images)")
@click.option("--digests", is_flag=True, help="Show digests")
@click.option("-f", "--filter", "conditions", multiple=True, help="Filter output based on conditions provided")
@click.option("--format", "form", help="Format output using a Go template: table, 'table TEMPLATE', json, TEMPLATE")
@click.option("--no-trunc", is_flag=True, help="Don't truncate output")
@click.option("-q", "--quiet", is_flag=True, help="Only show image IDs")
@click.option("--tree", is_flag=True, help="List images as a tree, each with its platform and names")
@click.argument("repository", nargs=-1)
@click.pass_obj
def images(
    face: Face,
    /,
    repository: tuple[str, ...],
    all_: bool,
    digests: bool,
    conditions: tuple[str, ...],
    form: str | None,
    no_trunc: bool,
    quiet: bool,
    tree: bool,
) -> Result:
    """List images: `images [REPOSITORY[:TAG]]`. Make a base image: `images bootstrap NAME`."""
    if len(repository) == 2 and repository[0] == "bootstrap":
        return make_base(face, repository[1])
    if len(repository) > 1:
        raise InvalidRequest("'images' takes at most 1 argument", hint="images [REPOSITORY[:TAG]]")
    chosen = filters(conditions)
    if repository:
        chosen.setdefault("reference", []).append(repository[0])
    found = face.client.images.list(all=all_, filters=chosen, digests=digests)
    if tree:
        from labdock.commands.image_tree import draw

        clash = {"--quiet": quiet, "--no-trunc": no_trunc, "--digests": digests, "--format": bool(form)}
        return draw(face, found, next((name for name, given in clash.items() if given), ""))
    rows = [row for image in found for row in image_rows(image, whole=no_trunc)]
    columns = COLUMNS[:2] + ((("DIGEST", "Digest"),) if digests else ()) + COLUMNS[2:]
    if quiet and not form:
        return Text("\n".join(dict.fromkeys(row["ID"] for row in rows)))
    return render(found, rows, columns, form=form, cell=_cell, empty="no images", kind="images")


def _cell(field: str, row: Row) -> str | None:
    from labdock.commands import html

    if field == "Repository":
        return f"<b>{html.escape(row['Repository'])}</b>"
    return html.code(row[field]) if field in ("ID", "Digest") else None


def image_rows(image: ImageSummary, *, whole: bool) -> list[dict[str, Any]]:
    """A line for each name that the image has."""
    digests = {name.partition("@")[0]: name.partition("@")[2] for name in image.repo_digests}
    rows = []
    for name in image.repo_tags or ("<none>:<none>",):
        repository, tag = split_tag(name)
        rows.append(
            {
                "Repository": repository,
                "Tag": tag,
                "Digest": digests.get(repository, "<none>"),
                "ID": image.id if whole else mark_short(image.id, whole=False),
                "CreatedSince": units.ago(image.created),
                "CreatedAt": units.stamp(image.created),
                "Size": units.size(image.size, 3),
            }
        )
    return rows


def make_base(face: Face, name: str) -> Result:
    """Make the base image *name* from its distribution's packages, showing the work."""
    from labdock.commands.cards import ImageCard

    face.show_job(f"Making {name}", face.client.images.bootstrap(name))
    image = face.client.images.inspect(name)
    return ImageCard(image) if face.keeps_results else Text(f"{name} is {units.short(image.id)}")


@command("bootstrap")
@click.argument("name")
@click.pass_obj
def bootstrap(face: Face, /, name: str) -> Result:
    """Make a base image from a distribution's packages: `bootstrap debian:bookworm`."""
    return make_base(face, name)


@command("rmi")
@click.option("-f", "--force", is_flag=True, help="Force removal of the image")
@click.option("--no-prune", is_flag=True, help="Do not delete untagged parents")
@platform_option
@click.argument("images", nargs=-1, required=True)
@click.pass_obj
def remove(face: Face, /, images: tuple[str, ...], force: bool, no_prune: bool, platform: str | None) -> Result:
    """Remove one or more images."""

    def act(name: str) -> str:
        try:
            check_platform(face, name, platform)
            went = face.client.images.remove(name, force=force, no_prune=no_prune)
        except NoSuchImage as error:
            if not force:
                raise
            face.say(f"Error response from daemon: {error.message}")
            return ""
        return "\n".join(f"{kind}: {text}" for kind, text in went)

    return each(face, images, act)


@command("tag")
@click.argument("source")
@click.argument("target")
@click.pass_obj
def tag(face: Face, /, source: str, target: str) -> None:
    """Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE."""
    if "@" in target:
        raise InvalidRequest("refusing to create a tag with a digest reference", hint="tag SOURCE NAME[:TAG]")
    face.client.images.tag(source, *split_tag(target))


@command("history")
@click.option("--format", "form", help="Format output using a Go template")
@click.option("-H", "--human/--no-human", default=True, help="Print sizes and dates in human readable format")
@click.option("--no-trunc", is_flag=True, help="Don't truncate output")
@platform_option
@click.option("-q", "--quiet", is_flag=True, help="Only show image IDs")
@click.argument("image")
@click.pass_obj
def history(
    face: Face, /, image: str, form: str | None, human: bool, no_trunc: bool, platform: str | None, quiet: bool
) -> Result:
    """Show the history of an image."""
    check_platform(face, image, platform)
    found = face.client.images.history(image)
    rows = [
        {
            "ID": layer.id if layer.id == "<missing>" else mark_short(layer.id, whole=no_trunc),
            "CreatedSince": units.ago(layer.created) if human else _rfc3339(layer.created),
            "CreatedAt": _rfc3339(layer.created),
            "CreatedBy": layer.created_by if no_trunc else units.elide(layer.created_by.replace("\t", " "), 45),
            "Size": units.size(layer.size, 3) if human else str(layer.size),
            "Comment": layer.comment,
        }
        for layer in found
    ]
    columns = (
        ("IMAGE", "ID"),
        ("CREATED", "CreatedSince"),
        ("CREATED BY", "CreatedBy"),
        ("SIZE", "Size"),
        ("COMMENT", "Comment"),
    )
    return render(found, rows, columns, form=form, quiet="ID" if quiet else None)


def _rfc3339(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(max(seconds, 0)))


@command("load")
@click.option("-i", "--input", "path", help="Read from tar archive file, instead of STDIN")
@platform_option
@click.option("-q", "--quiet", is_flag=True, help="Suppress the load output")
@click.pass_obj
def load(face: Face, /, path: str | None, platform: str | None, quiet: bool) -> Result:
    """Load an image from a tar archive or STDIN."""
    chunks = face.input_chunks() if path is None else file_chunks(path)
    progress = face.client.images.load(chunks, quiet=quiet, platform=parse_platform(platform) if platform else None)
    loaded: list[str] = []

    def watched() -> Iterator[JobLine | None]:
        for line in progress:
            if line is not None and line.stream:
                loaded.append(line.stream.rstrip("\n"))
            else:
                yield line

    if quiet:
        for _ in watched():
            pass
    else:
        face.show_job("", watched())
    return Text("\n".join(loaded))


def file_chunks(path: str) -> Iterator[bytes]:
    """The file's bytes in parts. Raises InvalidRequest when it can't be read."""
    try:
        with open(path, "rb") as source:
            while data := source.read(1 << 20):
                yield data
    except OSError as error:
        raise InvalidRequest(f"open {path}: {error.strerror}") from error


@command("save")
@click.option("-o", "--output", help="Write to a file, instead of STDOUT")
@platform_option
@click.argument("images", nargs=-1, required=True)
@click.pass_obj
def save(face: Face, /, images: tuple[str, ...], output: str | None, platform: str | None) -> None:
    """Save one or more images to a tar archive (streamed to STDOUT by default)."""
    if output is None and (face.keeps_results or face.output_is_terminal()):
        raise InvalidRequest(
            "cowardly refusing to save to a terminal. Use the -o flag or redirect", hint="save -o FILE IMAGE"
        )
    for name in images:
        check_platform(face, name, platform)
    chunks = face.client.images.save(images)
    if output is None:
        for chunk in chunks:
            face.write("stdout", chunk)
        return
    write_file(output, chunks)


def write_file(output: str, chunks: Iterator[bytes]) -> None:
    """Write beside *output* and rename: a broken transfer leaves no half archive under the name."""
    import os

    partial = f"{output}.part{os.getpid()}"
    try:
        with open(partial, "wb") as out:
            for chunk in chunks:
                out.write(chunk)
        os.replace(partial, output)
    except OSError as error:
        raise InvalidRequest(f"cannot write {output}: {error.strerror}") from error
    finally:
        if os.path.exists(partial):
            os.unlink(partial)
