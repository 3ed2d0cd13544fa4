"""Files in, one :class:`Project` out: read, interpolated, validated, extended, merged, names and references settled."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from labdock.compose import environment as env_files
from labdock.compose.document import Block, ComposeError, Reset, Where, parse
from labdock.compose.interpolation import interpolate
from labdock.compose.keys import FILE, project_name
from labdock.compose.merging import merge, without_resets
from labdock.errors import InvalidRequest, NotFound

DEFAULT_FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
RESOURCES = ("services", "networks", "volumes", "secrets", "configs")


@dataclass(slots=True)
class Project:
    """What the files say. ``services`` are those that the profiles enable, ``disabled`` the others, all canonical."""

    name: str
    folder: Path
    files: tuple[str, ...]
    services: dict[str, Block]
    networks: dict[str, Block]
    volumes: dict[str, Block]
    secrets: dict[str, Block]
    configs: dict[str, Block]
    disabled: dict[str, Block] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict, repr=False)

    def needs(self) -> dict[str, list[str]]:
        """What each service starts after."""
        return {name: needs_of(service, self.services) for name, service in self.services.items()}


def needs_of(service: Block, known: Iterable[str]) -> list[str]:
    """The services that *service* names: depends_on, links, and those whose namespaces or volumes it shares."""
    found = [*service.get("depends_on", {}), *(link.partition(":")[0] for link in service.get("links", ()))]
    found += [text.partition(":")[0] for text in service.get("volumes_from", ())]
    for key in ("network_mode", "pid", "ipc"):
        kind, _, other = str(service.get(key, "")).partition(":")
        found += [other] if kind == "service" else []
    return [name for name in dict.fromkeys(found) if name in known]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked for. ``text``: the file's text (a notebook's cell), in place of files; None: look for files."""

    files: tuple[Path, ...] = ()
    text: str | None = None
    folder: Path | None = None
    name: str | None = None
    env_files: tuple[Path, ...] = ()
    profiles: frozenset[str] = frozenset()
    #: Services named on the command line: their profiles count as active.
    named: tuple[str, ...] = ()


def find_files(folder: Path) -> tuple[Path, ...]:
    """The Compose file of *folder* or the nearest folder above that has one, and its override. Raises NotFound."""
    for place in (folder, *folder.parents):
        for name in DEFAULT_FILES:
            if (found := place / name).is_file():
                over = [place / f"{found.stem}.override{suffix}" for suffix in (".yml", ".yaml")]
                return (found, *(path for path in over if path.is_file()))
    raise NotFound(
        "no configuration file provided: not found",
        hint=f"-f FILE names one; looked for {', '.join(DEFAULT_FILES)} in {folder} and above",
    )


def load(request: Request, environ: Mapping[str, str], warn: Callable[[str], None] = lambda text: None) -> Project:
    """The project. Raises ComposeError (file, line, key), InvalidRequest, NotFound; *warn* hears of unset variables."""
    files = request.files
    if not files and request.text is None:
        files = find_files(request.folder or Path.cwd())
    folder = (request.folder or (files[0].parent if files else Path.cwd())).resolve()
    known = _environment(folder, request.env_files, environ)
    name = request.name or known.get("COMPOSE_PROJECT_NAME")
    loader = _Loader({"COMPOSE_PROJECT_NAME": name or normal(folder.name), **known}, warn)
    merged = Block()
    if request.text is not None:
        merged = loader.read_text(request.text, "the cell", folder)
    for path in files:
        merged = merge(merged, loader.read(path, folder))
    merged = without_resets(loader.add_included(merged))
    final = project_name(name, Where("-p", 0)) if name else merged.get("name") or normal(folder.name)
    paths = tuple(str(path.absolute()) for path in files)
    from labdock.compose.settling import settle

    return settle(merged, request, Project(final, folder, paths, {}, {}, {}, {}, {}, environment=dict(known)))


def normal(name: str) -> str:
    """*name* as a project's name: what may not be in one is left out."""
    return re.sub(r"[^a-z0-9_-]", "", name.lower()).lstrip("_-") or "default"


def _environment(folder: Path, files: Sequence[Path], environ: Mapping[str, str]) -> dict[str, str]:
    """The variables for interpolation: those of *environ* over those of the ``.env`` files."""
    found: dict[str, str] = {}
    for path in files or [path for path in (folder / ".env",) if path.is_file()]:
        found |= {key: value or "" for key, value in env_files.read(path, {**found, **environ}).items()}
    return found | dict(environ)


class _Loader:
    """Reads files with the variables *known*."""

    def __init__(self, known: Mapping[str, str], warn: Callable[[str], None], above: tuple[Path, ...] = ()) -> None:
        self._known = known
        self._warn = warn
        self._warned: set[str] = set()
        self._above = above
        self._included: list[Block] = []

    def _unset(self, name: str) -> None:
        if name not in self._warned:
            self._warned.add(name)
            self._warn(f'The "{name}" variable is not set. Defaulting to a blank string.')

    def read(self, path: Path, base: Path) -> Block:
        """One file, canonical, its services extended; what it includes is kept for :meth:`add_included`."""
        found = self._extended(self._canonical(path, base), path, base)
        return self._note_included(found, path)

    def read_text(self, text: str, name: str, base: Path) -> Block:
        found = self._extended(self._take(text, name, base), None, base)
        return self._note_included(found, None)

    def _canonical(self, path: Path, base: Path) -> Block:
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise NotFound(f"open {path}: {reason}") from error
        return self._take(text, str(path), base)

    def _take(self, text: str, name: str, base: Path) -> Block:
        raw = parse(text, name)
        where = Where(name, 1, (), base)
        interpolate(raw, where, self._known, self._unset)
        found: Block = FILE(raw, where)
        return found

    def _extended(self, block: Block, path: Path | None, base: Path) -> Block:
        services = block.get("services") or Block()
        if isinstance(services, Reset):
            return block
        for name in list(services):
            if isinstance(services[name], Block):
                services[name] = self._service(name, block, path, base, ())
        return block

    def _service(self, name: str, block: Block, path: Path | None, base: Path, chain: tuple[str, ...]) -> Block:
        """The service *name* of *block* over what it extends."""
        service: Block = block["services"][name]
        if isinstance(service.get("extends"), Reset):
            service = without_resets(service)
        if "extends" not in service:
            return service
        where = service.at("extends", Where(service.file, service.line, ("services", name), base))
        step = f"{path or 'here'}:{name}"
        if step in chain:
            raise where.refuse("services extend each other in a circle")
        target = service["extends"]
        other_block, other_path, other_base = block, path, base
        if "file" in target and Path(target["file"]) != path:
            other_path = Path(target["file"])
            other_base = other_path.parent
            other_block = self._canonical(other_path, other_base)
        if target["service"] not in other_block.get("services", {}):
            raise where.refuse(f"there is no service {target['service']!r} in {other_path or 'this file'}")
        other = self._service(target["service"], other_block, other_path, other_base, (*chain, step))
        own = Block(service.file, service.line)
        for key, value in service.items():
            if key != "extends":
                own.put(key, value, service.places[key])
        own.replacing = service.replacing
        return merge(other, own)

    def _note_included(self, block: Block, path: Path | None) -> Block:
        listed = block.pop("include", ())
        for entry in () if isinstance(listed, Reset) else listed:
            above = (*self._above, path.resolve()) if path else self._above
            paths = [Path(text) for text in entry["path"]]
            for target in paths:
                if target.resolve() in above:
                    raise Where(block.file, entry.line or 1, ("include",)).refuse(f"{target} includes itself")
            folder = Path(entry.get("project_directory") or paths[0].parent)
            given = [Path(text) for text in entry.get("env_file", ())]
            loader = _Loader(_environment(folder, given, self._known), self._warn, above)
            found = Block()
            for target in paths:
                try:
                    found = merge(found, loader.read(target, folder))
                except NotFound as error:
                    raise Where(block.file, entry.line or 1, ("include",)).refuse(error.message) from error
            self._included.append(loader.add_included(found))
        return block

    def add_included(self, block: Block) -> Block:
        """*block* with all that its files included. Raises ComposeError when both define something differently."""
        for included in self._included:
            for kind in RESOURCES:
                for name, value in included.get(kind, {}).items():
                    mine = block.setdefault(kind, Block()).get(name)
                    place = included[kind].places.get(name, (included.file, 1))
                    if mine is not None and mine != value:
                        raise Where(place[0], place[1], (kind, name)).refuse("it is defined in the including file too")
                    block[kind].put(name, value, place)
        self._included = []
        return block


__all__ = ["ComposeError", "InvalidRequest", "Project", "Request", "find_files", "load", "needs_of", "normal"]
