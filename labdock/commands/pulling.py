"""``pull``, ``push``, ``import``: images that come and go, and who we are to their registries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from labdock.client import names
from labdock.commands.foreign import trust_option
from labdock.commands.results import Result, Text
from labdock.commands.tree import command
from labdock.errors import EngineUnreachable, InvalidRequest, LabdockError, Unauthorized

if TYPE_CHECKING:
    from labdock.client.credentials import Auth
    from labdock.client.progress import JobLine
    from labdock.commands.face import Face

#: Progress is drawn again at least this often (seconds), news or not.
TICK = 0.5


def credentials_for(face: Face, server: str) -> Auth:
    """The keyring's credentials for *server*; nobody's, with a note, when they can't be read."""
    from labdock.client.credentials import Auth

    keyring = face.client.keyring
    if keyring is None:
        return Auth()
    try:
        return keyring.find(server)
    except LabdockError as error:
        face.say(f"note: going on without credentials for {server}: {error.message}")
        return Auth()


def _watch(face: Face, title: str, progress: Iterator[JobLine | None], key: str, *, quiet: bool) -> None:
    """Carry *progress* to its end, shown or not; a refusal says how to log in."""
    try:
        if quiet:
            for _ in progress:
                pass
        else:
            face.show_job(title, progress)
    except Unauthorized as error:
        if error.hint is None:
            error.hint = (
                "`login" + ("" if key == names.HUB_KEY else f" {key}") + "` keeps credentials for this registry"
            )
        raise


def pull_image(face: Face, image: str, platform: str | None, *, quiet: bool) -> None:
    """Pull *image* (``latest`` unless it says otherwise), showing the work."""
    _pull(face, image, names.parse(image).wanted, platform, quiet=quiet)


def _pull(face: Face, image: str, tag: str | None, platform: str | None, *, quiet: bool) -> None:
    name = names.parse(image)
    auth = credentials_for(face, name.key)
    progress = face.client.images.pull(name.repository, tag, platform=platform, auth=auth, tick=None if quiet else TICK)
    _watch(face, f"Pulling {image}", progress, name.key, quiet=quiet)


@command("pull")
@trust_option
@click.option("-a", "--all-tags", is_flag=True, help="Download all tagged images in the repository")
@click.option("--platform", help="Set platform if server is multi-platform capable")
@click.option("-q", "--quiet", is_flag=True, help="Suppress verbose output")
@click.argument("name")
@click.pass_obj
def pull(face: Face, /, name: str, all_tags: bool, platform: str | None, quiet: bool) -> Result:
    """Download an image from a registry."""
    parsed = names.parse(name)
    if not all_tags:
        if not quiet and not parsed.tag and not parsed.digest:
            face.say("Using default tag: latest")
        pull_image(face, name, platform, quiet=quiet)
        return Text(str(parsed))
    if parsed.tag or parsed.digest:
        raise InvalidRequest("tag can't be used with --all-tags/-a")
    _pull(face, name, None, platform, quiet=quiet)
    return Text(parsed.repository)


@command("push")
@trust_option
@click.option("-a", "--all-tags", is_flag=True, help="Push all tags of an image to the repository")
@click.option("--platform", help="Push a platform-specific manifest as a single-platform image: os[/arch[/variant]]")
@click.option("-q", "--quiet", is_flag=True, help="Suppress verbose output")
@click.argument("name")
@click.pass_obj
def push(face: Face, /, name: str, all_tags: bool, platform: str | None, quiet: bool) -> Result | None:
    """Upload an image to the registry in its name."""
    parsed = names.parse(name)
    if all_tags and (parsed.tag or parsed.digest):
        raise InvalidRequest("tag can't be used with --all-tags/-a")
    if parsed.digest:
        raise InvalidRequest("cannot push a digest reference", hint="`tag` gives the image a name to push")
    tag = None if all_tags else parsed.tag or "latest"
    if not all_tags and not quiet and not parsed.tag:
        face.say("Using default tag: latest")
    auth = credentials_for(face, parsed.key)
    progress = face.client.images.push(
        parsed.repository, tag, platform=platform_parts(platform), auth=auth, tick=None if quiet else TICK
    )
    _watch(face, f"Pushing {name}", progress, parsed.key, quiet=quiet)
    return Text(parsed.repository if all_tags else str(parsed)) if quiet else None


def platform_parts(text: str | None) -> dict[str, str] | None:
    """``linux/arm/v7`` as the API's object."""
    if not text:
        return None
    parts = text.split("/")
    if len(parts) > 3 or not all(parts):
        raise InvalidRequest(f"invalid platform {text!r}", hint="os/architecture or os/architecture/variant")
    return dict(zip(("os", "architecture", "variant"), parts, strict=False))


@command("import")
@click.option("-c", "--change", "changes", multiple=True, help="Apply Dockerfile instruction to the created image")
@click.option("-m", "--message", help="Set commit message for imported image")
@click.option("--platform", help="Set platform if server is multi-platform capable")
@click.argument("source")
@click.argument("name", required=False)
@click.pass_obj
def import_tar(
    face: Face, /, source: str, name: str | None, changes: tuple[str, ...], message: str | None, platform: str | None
) -> Result:
    """Make an image from a tar of a root file system: a file, a URL, or - for standard input."""
    from labdock.commands.images import file_chunks

    if source == "-":
        given: Iterator[bytes] | str = face.input_chunks()
    else:
        given = source if source.startswith(("http://", "https://")) else file_chunks(source)
    progress = face.client.images.import_tar(given, name, message=message, changes=changes, platform=platform)
    last: list[str] = []

    def watched() -> Iterator[JobLine | None]:
        for line in progress:
            if line is not None and line.status.startswith("sha256:"):
                last[:] = [line.status]
            else:
                yield line

    face.show_job(f"Importing {name or source}", watched())
    if not last:
        raise EngineUnreachable(
            "the import's stream ended without an image or an error",
            hint="the engine may have been restarted; `labdock engine logs` shows its last words",
        )
    return Text(last[0])
