"""``compose``: the options before the command, and the project they mean."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labdock.commands import foreign
from labdock.commands.tree import COMPOSE, LazyGroup
from labdock.errors import InvalidRequest, NotFound

if TYPE_CHECKING:
    from labdock.commands.face import Face
    from labdock.compose.document import Block
    from labdock.compose.loading import Project
    from labdock.compose.project import Deployment

KEY, ANSI = "labdock.compose", "labdock.compose.ansi"
OLD_HINT = "names are Compose v2's, with dashes; docker-compose 1.29 finds its projects by their labels all the same"
#: The text that a notebook's cell had, by folder: what `compose ps` in a later cell means.
_cells: dict[Path, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    files: tuple[str, ...]
    name: str | None
    profiles: tuple[str, ...]
    env_files: tuple[str, ...]
    folder: str | None


@click.group("compose", cls=LazyGroup, lazy=COMPOSE)
@click.option("-f", "--file", "files", multiple=True, help="Compose configuration files (- is standard input)")
@click.option("-p", "--project-name", "name", help="Project name")
@click.option("--profile", "profiles", multiple=True, help="Specify a profile to enable")
@click.option("--env-file", "env_files", multiple=True, help="Specify an alternate environment file")
@click.option("--project-directory", "folder", help="Specify an alternate working directory")
@click.option(
    "--ansi", type=click.Choice(["never", "always", "auto"]), default="auto", help="Control when to print colours"
)
@foreign.discarded("--progress", why="what is shown goes by where it is shown")
@foreign.discarded("--parallel", why="eight things are done at a time")
@foreign.refused(
    "--dry-run", flag=True, words="compose --dry-run is not supported", hint="`compose config` checks the files"
)
@foreign.refused("--compatibility", flag=True, words="compose --compatibility is not supported", hint=OLD_HINT)
@click.pass_context
def compose(ctx: click.Context, /, ansi: str, **options: Any) -> None:
    """Define and run several containers by one file."""
    ctx.meta[ANSI] = ansi
    ctx.meta[KEY] = Settings(**options)


def load(face: Face, named: tuple[str, ...] = (), *, by_labels: bool = False) -> Project:
    """The project that the options mean; *named* services count whatever their profiles. Raises ComposeError.

    *by_labels*: a name (-p) without files is enough, its containers tell the rest.
    """
    settings: Settings = click.get_current_context().meta[KEY]
    if by_labels and settings.name and is_by_name():
        from labdock.compose.discovery import discover
        from labdock.compose.document import Where
        from labdock.compose.keys import project_name

        return discover(face.client, project_name(settings.name, Where("-p", 0)))
    return _read(face, settings, named)


def check_names(project: Project, services: Iterable[str]) -> None:
    """Raises InvalidRequest for a service that the files do not have."""
    from labdock.compose.readers import near

    for name in services:
        if name not in project.services and name not in project.disabled:
            raise InvalidRequest(f"no such service: {name}", hint=near(name, project.services))


def is_by_name() -> bool:
    """Whether the options name a project and no files."""
    settings: Settings = click.get_current_context().meta[KEY]
    return bool(settings.name) and not settings.files and not os.environ.get("COMPOSE_FILE")


def _read(face: Face, settings: Settings, named: tuple[str, ...]) -> Project:
    from labdock.compose import loading

    folder = Path(settings.folder).expanduser().absolute() if settings.folder else None
    given = settings.files or tuple(filter(None, os.environ.get("COMPOSE_FILE", "").split(":")))
    profiles = {*settings.profiles, *filter(None, os.environ.get("COMPOSE_PROFILES", "").split(","))}
    text = None
    if given == ("-",):
        # Lines are counted as the user sees them: a cell's first is the magic's own.
        text = "\n" * (face.input_line - 1) + face.read_input().decode("utf-8", "replace")
        if face.keeps_results:
            _cells[folder or Path.cwd()] = text
    request = loading.Request(
        files=() if text is not None else tuple(Path(name).expanduser() for name in given),
        text=text,
        folder=folder,
        name=settings.name,
        env_files=tuple(Path(name).expanduser() for name in settings.env_files),
        profiles=frozenset(profiles),
        named=named,
    )
    try:
        return loading.load(request, os.environ, face.say)
    except NotFound:
        remembered = _cells.get(folder or Path.cwd())
        if given or remembered is None:
            raise
        return loading.load(replace(request, text=remembered), os.environ, face.say)


def deploy(
    face: Face, named: tuple[str, ...] = (), *, pull: str | None = None, quiet: bool = False, by_labels: bool = False
) -> Deployment:
    """The project on the engine; a missing image is built or pulled. *pull* overrides what the files say of when.

    *by_labels*: as for :func:`load`.
    """
    from labdock.compose.project import Deployment

    project = load(face, named, by_labels=by_labels)
    for service in project.services.values():
        if pull is not None and "build" not in service:
            service["pull_policy"] = pull

    def fetch(name: str, service: Block) -> None:
        fetch_image(face, project, name, service, quiet=quiet)

    return Deployment(face.client, project, say=face.say, fetch=fetch)


def fetch_image(face: Face, project: Project, name: str, service: Block, *, quiet: bool = False) -> None:
    """Build the service's image when the files say how, else pull it."""
    from labdock.commands import pulling
    from labdock.compose.requests import image_of

    policy = service.get("pull_policy")
    if "build" in service and policy in (None, "build", "missing", "if_not_present"):
        build_service(face, project, name, quiet=quiet)
    elif policy != "never":
        pulling.pull_image(face, image_of(name, service, project), service.get("platform"), quiet=quiet)


def build_service(
    face: Face,
    project: Project,
    name: str,
    *,
    quiet: bool = False,
    no_cache: bool = False,
    pull: bool = False,
    arguments: tuple[str, ...] = (),
) -> None:
    """Build the image of a service. Raises BuildError, DockerfileError, InvalidRequest."""
    from labdock.client import context
    from labdock.commands import building
    from labdock.commands.build_view import BuildView
    from labdock.compose.requests import image_of

    service = project.services[name]
    build = service["build"]
    image = image_of(name, service, project)
    words = _build_words(project, name, image, arguments)
    words += ["--no-cache"] if no_cache or build.get("no_cache") else []
    words += ["--pull"] if pull or build.get("pull") else []
    words += ["-q"] if quiet else []
    folder = Path(build.get("context", str(project.folder)))
    inline = build.get("dockerfile_inline")
    file = folder / build["dockerfile"] if "dockerfile" in build else None
    made = context.from_folder(folder, dockerfile=file, text=None if inline is None else inline.encode())
    with building.build.make_context("build", [*words, str(folder)], obj=face) as known:
        building.build_image(face, BuildView(f"Building {image}"), iter(made), made.dockerfile, known.params)


def _build_words(project: Project, name: str, image: str, arguments: tuple[str, ...]) -> list[str]:
    """What the file says of a build, as options of ``build``."""
    from labdock.compose import labels

    service = project.services[name]
    build = service["build"]
    words = [word for tag in (image, *build.get("tags", ())) for word in ("-t", tag)]
    for key, value in build.get("args", {}).items():
        given = project.environment.get(key) if value is None else value
        words += [] if given is None else ["--build-arg", f"{key}={given}"]
    mine = {labels.PROJECT: project.name, labels.SERVICE: name, labels.VERSION: labels.SPOKEN}
    several = {
        "build-arg": arguments,
        "label": [f"{key}={value}" for key, value in {**build.get("labels", {}), **mine}.items()],
        "cache-from": build.get("cache_from", ()),
        "cache-to": build.get("cache_to", ()),
        "build-context": [f"{key}={value}" for key, value in build.get("additional_contexts", {}).items()],
        "secret": [_build_secret(project, item) for item in build.get("secrets", ())],
        "ssh": [key if value is None else f"{key}={value}" for key, value in build.get("ssh", {}).items()],
    }
    words += [word for option, values in several.items() for value in values for word in (f"--{option}", value)]
    for option in ("target", "network"):
        words += [f"--{option}", build[option]] if option in build else []
    return words + (["--platform", service["platform"]] if "platform" in service else [])


def _build_secret(project: Project, item: Block) -> str:
    source = project.secrets[item["source"]]
    what = f"src={source['file']}" if "file" in source else f"env={source.get('environment')}"
    return f"id={item.get('target', item['source'])},{what}"


def with_cell(words: list[str]) -> list[str]:
    """*words* for a cell that is the file: ``up -d`` when they name no command."""
    command = [] if any(word in COMPOSE for word in words) or "--help" in words else ["up", "-d"]
    return ["-f", "-", *words, *command]
