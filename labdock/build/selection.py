"""Which files a COPY or ADD takes, and the digest of what it takes: names, modes, owners, content; not times."""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass

from labdock.build.patterns import PathMatcher, has_wildcard, translate_glob
from labdock.build.trees import FILE, FOLDER, LINK, Node, Tree, follow, hash_node


@dataclass(frozen=True, slots=True)
class Source:
    """One thing to copy. ``name``: what a file is called in a folder. ``items``: for a folder, each node in it with
    its path relative to it, parents first, itself ("") before all; for anything else only itself.

    ``below``: the folder under the destination that it goes into (``--parents``; else "")."""

    name: str
    node: Node
    items: tuple[tuple[str, Node], ...]
    below: str = ""

    @property
    def is_folder(self) -> bool:
        return self.node.kind == FOLDER


def clean_source(path: str) -> str:
    """A source path below the context's root: ``/`` in front and ``..`` above it are dropped."""
    found = posixpath.normpath("/" + path).lstrip("/")
    return found


def find_sources(tree: Tree, path: str, excludes: PathMatcher, *, parents: bool = False) -> list[Source]:
    """What *path*, perhaps with wildcards, means in *tree*; sorted. Nothing found: an empty list.

    *parents*: the folders on the way are kept, those after ``/./`` when there is one, and ``**`` is any number of them.
    Raises BadPattern; OSError ELOOP.
    """
    cleaned = clean_source(path)
    pivot = clean_source(path.partition("/./")[0]) if parents and "/./" in path else ""
    paths = list(_glob(tree, cleaned, parents)) if has_wildcard(cleaned) else [cleaned]
    found = []
    for each in paths:
        try:
            real = follow(tree, each)
        except FileNotFoundError:
            continue
        node = tree.get(real)
        assert node is not None
        items = tuple(_walk(tree, node, excludes)) if node.kind == FOLDER else (("", node),)
        kept = each.removeprefix(pivot).lstrip("/")
        below = "" if not parents else kept if node.kind == FOLDER else posixpath.dirname(kept)
        found.append(Source(posixpath.basename(each), node, items, below))
    return found


def _glob(tree: Tree, pattern: str, deep: bool) -> Iterator[str]:
    found = [""]
    for part in pattern.split("/"):
        if deep and part == "**":
            found = sorted({folder for above in found for folder in _folders(tree, above)})
            continue
        following = []
        matcher = translate_glob(part)
        plain = None if has_wildcard(part) else part.replace("\\", "")
        for above in found:
            try:
                real = follow(tree, above)
            except FileNotFoundError:
                continue
            node = tree.get(real)
            if node is None or node.kind != FOLDER:
                continue
            names = tree.names(real) if plain is None else [plain] if tree.get(_join(real, plain)) else []
            following += [_join(above, name) for name in names if plain is not None or matcher.match(name)]
        found = following
    yield from found


def _folders(tree: Tree, above: str) -> Iterator[str]:
    """*above* and every folder in it, links not followed."""
    todo = [above]
    while todo:
        path = todo.pop()
        node = tree.get(path)
        if node is not None and node.kind == FOLDER:
            yield path
            todo += [_join(path, name) for name in tree.names(path)]


def _join(above: str, name: str) -> str:
    return f"{above}/{name}" if above else name


def _walk(tree: Tree, top: Node, excludes: PathMatcher) -> Iterator[tuple[str, Node]]:
    yield "", top
    todo = [(name, ()) for name in reversed(tree.names(top.path))]
    pending: list[tuple[str, tuple[bool, ...]]] = list(todo)
    while pending:
        relative, above = pending.pop()
        node = tree.get(_join(top.path, relative))
        if node is None:
            continue
        matched, own = excludes.descend(relative, above) if excludes else (False, ())
        if not matched:
            yield relative, node
        if node.kind == FOLDER and (not matched or excludes.has_exceptions):
            pending += [(_join(relative, name), own) for name in reversed(tree.names(node.path))]


def digest_sources(tree: Tree, sources: list[Source], *, owners: bool) -> str:
    """The digest of what is copied, hex. *owners*: they are copied, so they count."""
    hashed = hashlib.sha256()
    for source in sources:
        hashed.update(f"\0{source.below}\0{source.name}\0{source.node.kind}\0".encode("utf-8", "surrogateescape"))
        for relative, node in source.items:
            content = hash_node(tree, node) if node.kind == FILE else node.link if node.kind == LINK else ""
            owner = [node.uid, node.gid] if owners else []
            xattrs = [[key.hex(), value.hex()] for key, value in sorted(node.xattrs.items())]
            line = json.dumps([relative, node.kind, node.mode, owner, content, xattrs])
            hashed.update(line.encode("utf-8", "surrogateescape"))
    return hashed.hexdigest()
