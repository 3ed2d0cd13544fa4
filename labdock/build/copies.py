"""COPY and ADD: what they ask for, what that takes from its source, how it gets into the image."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from labdock.build.config import Draft
from labdock.build.context import unpack
from labdock.build.dockerfile import instructions as ast
from labdock.build.dockerfile.remotes import BadSource, HttpSource, settle
from labdock.build.dockerfile.source import Range, Word, refuse
from labdock.build.dockerfile.words import Lexer, LexError
from labdock.build.modes import Mode
from labdock.build.patterns import BadPattern, PathMatcher, has_wildcard
from labdock.build.rootfs import find_owner
from labdock.build.selection import Source, digest_sources, find_sources
from labdock.build.sources import Held, Remote
from labdock.build.transfer import Writer
from labdock.build.trees import FILE, FOLDER, Data, MemoryTree, Node, Tree
from labdock.build.workspace import Workspace
from labdock.errors import Corrupt, DockerfileError, InvalidRequest
from labdock.store.layers import headers
from labdock.store.layers.compression import Plain


@dataclass(frozen=True, slots=True)
class Order:
    """A COPY or ADD with its words resolved. ``destination`` is absolute; it ends in a slash when a folder is meant.

    ``remote``: the files are another stage's or image's. ``remotes``: for each source, what it names elsewhere.
    """

    keyword: str
    sources: tuple[str, ...]
    ranges: tuple[Range, ...]
    inlines: tuple[tuple[str, str], ...]
    destination: str
    chown: str
    mode: Mode | None
    excludes: tuple[str, ...]
    unpack: bool
    remote: bool
    parents: bool
    shown: str
    range: Range
    remotes: tuple[Remote | None, ...] = ()
    checksum: str = ""
    unpack_fetched: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """A source in its tree. ``unpack``: if it is an archive, what is in it is meant."""

    tree: Tree
    source: Source
    unpack: bool


@dataclass(frozen=True, slots=True)
class Taken:
    """What an order takes, the heredocs apart. ``digest`` is their content's."""

    pieces: tuple[Piece, ...]
    digest: str


def resolve(draft: Draft, instruction: ast.Transfer) -> Order:
    """The words of *instruction*, with the variables of this place in the file. Raises DockerfileError."""
    sources = tuple(_expand_path(draft, word) for word in instruction.sources)
    inlines = tuple((each.name, _expand_inline(draft, each)) for each in instruction.inlines)
    destination = _expand_path(draft, instruction.destination)
    chown = draft.expand(instruction.chown) if instruction.chown else ""
    chmod = draft.expand(instruction.chmod) if instruction.chmod else ""
    try:
        mode = Mode(chmod) if chmod else None
    except ValueError as error:
        assert instruction.chmod is not None
        raise refuse(instruction.chmod.range, str(error)) from None
    remote = isinstance(instruction, ast.Copy) and instruction.source is not None
    is_archive = isinstance(instruction, ast.Add) and instruction.unpack is not False
    shown = " ".join(
        [instruction.keyword, *instruction.flags, *sources, *(f"<<{name}" for name, _ in inlines), destination]
    )
    checksum, remotes = _find_remotes(draft, instruction, sources)
    return Order(
        instruction.keyword,
        sources,
        tuple(word.range for word in instruction.sources),
        inlines,
        _place(draft.workdir, destination),
        chown,
        mode,
        tuple(draft.expand(word) for word in instruction.excludes),
        is_archive,
        remote,
        isinstance(instruction, ast.Copy) and instruction.parents,
        shown,
        instruction.range,
        remotes,
        checksum,
        isinstance(instruction, ast.Add) and instruction.unpack is True,
    )


def _find_remotes(
    draft: Draft, instruction: ast.Transfer, sources: tuple[str, ...]
) -> tuple[str, tuple[Remote | None, ...]]:
    """The checksum ADD asks for, and which of its *sources* are elsewhere."""
    if not isinstance(instruction, ast.Add):
        return "", (None,) * len(sources)
    checksum = draft.expand(instruction.checksum) if instruction.checksum else ""
    try:
        return checksum, settle(sources, checksum=checksum, keep_git_dir=instruction.keep_git_dir)
    except BadSource as error:
        where = instruction.checksum.range if instruction.checksum else instruction.range
        raise refuse(where, str(error)) from None


def _expand_path(draft: Draft, word: Word) -> str:
    found = draft.expand(word)
    if not found:
        raise refuse(word.range, f"{word.text or 'the path'} is empty", hint="a variable without a value, perhaps")
    if "\0" in found:
        raise refuse(word.range, "a path can't hold a NUL character")
    return found


def _expand_inline(draft: Draft, inline: ast.Inline) -> str:
    if not inline.expand:
        return inline.content
    lexer = Lexer(inline.content, draft.scope.values, draft.plan.dockerfile.escape, skip_quotes=True)
    try:
        return lexer.run()[0]
    except LexError as error:
        raise refuse(inline.range, str(error)) from None


def _place(workdir: str, destination: str) -> str:
    path = "/" + posixpath.normpath("/" + posixpath.join(workdir, destination)).lstrip("/")
    is_folder = destination.endswith("/") or posixpath.basename(destination) in (".", "..")
    return path.rstrip("/") + "/" if is_folder or path == "/" else path


def describe(order: Order) -> list[object]:
    """What of *order* counts for the cache, the content apart."""
    mode = order.mode.text if order.mode else ""
    what = [order.keyword, order.sources, order.inlines, order.excludes, order.unpack, order.parents]
    fetched = [order.checksum, order.unpack_fetched] if any(order.remotes) else []
    return [*what, order.destination, order.chown, mode, *fetched]


def take(tree: Tree, order: Order, held: Sequence[Held | None], *, owners: bool) -> Taken:
    """Find what *order* names in *tree*, or has *held* from elsewhere. *owners*: they are copied.

    Raises DockerfileError for what is not there.
    """
    try:
        excludes = PathMatcher(list(order.excludes))
    except BadPattern as error:
        raise _fail(order, order.range, f"--exclude: {error}") from None
    found: list[Source] = []
    pieces: list[Piece] = []
    identities: list[str] = []
    for text, where, fetched in zip(order.sources, order.ranges, held, strict=True):
        if fetched is not None:
            pieces.append(_take_fetched(order, fetched))
            identities.append(f"{fetched.source.name} {fetched.identity}")
            continue
        try:
            some = find_sources(tree, text, excludes, parents=order.parents)
        except (BadPattern, OSError) as error:
            raise _fail(order, where, f"{text}: {error.strerror if isinstance(error, OSError) else error}") from None
        if not some and not (has_wildcard(text) and len(order.sources) + len(order.inlines) > 1):
            raise _missing(order, where, text)
        found += some
        pieces += [Piece(tree, source, order.unpack) for source in some]
    if not pieces and not order.inlines:
        raise _missing(order, order.range, " ".join(order.sources))
    digest = digest_sources(tree, found, owners=owners)
    if identities:
        digest = hashlib.sha256("\0".join([digest, *identities]).encode("utf-8", "surrogateescape")).hexdigest()
    return Taken(tuple(pieces), digest)


def _take_fetched(order: Order, held: Held) -> Piece:
    if isinstance(held.remote, HttpSource):
        wanted = order.checksum.partition(":")
        if wanted[0] == "sha256" and wanted[2] != held.identity:
            problem = f"digest mismatch sha256:{held.identity}: {order.checksum}"
            raise _fail(order, held.where, problem, hint="the file at this URL is not the one that was meant")
        if wanted[2] and wanted[0] != "sha256":
            raise _fail(order, held.where, f"{wanted[0]} checksums are not supported", hint="give a sha256")
    return Piece(held.tree, held.source, order.unpack_fetched and isinstance(held.remote, HttpSource))


def list_files(taken: Taken) -> dict[str, str]:
    """The files that are taken, each with a digest of content and mode."""
    return {
        posixpath.join(piece.source.node.path, relative).rstrip("/"): f"{node.mode:o} {node.digest or node.link}"[:24]
        for piece in taken.pieces
        for relative, node in piece.source.items
        if node.kind != FOLDER
    }


def _missing(order: Order, where: Range, text: str) -> DockerfileError:
    if order.remote:
        return _fail(order, where, f"stat {text}: file does not exist")
    return _fail(
        order,
        where,
        f"file not found in build context or excluded by .dockerignore: stat {text}: file does not exist",
        hint="paths are relative to the build context's folder, not to the Dockerfile",
    )


def _fail(order: Order, where: Range, problem: str, hint: str | None = None) -> DockerfileError:
    return DockerfileError(
        f"{order.keyword} failed: {problem}",
        line=where.line,
        end_line=where.end_line,
        column=where.column,
        end_column=where.end_column,
        hint=hint,
    )


def fill(root: int, taken: Taken, order: Order, workspace: Workspace, notices: list[str]) -> bool:
    """Write what was *taken* below *root*. Adds to *notices* what the user should know."""
    keep = None if order.remote else (0, 0)
    try:
        asked = find_owner(root, order.chown) if order.chown else None
        owner = asked or keep
        writer = Writer(root, owner, order.mode, stop=workspace.stop, notices=notices)
        for piece in taken.pieces:
            source = piece.source
            if piece.unpack and source.node.kind == FILE and is_archive(piece.tree, source.node):
                _fill_archive(root, piece.tree, source.node, asked, order, writer, workspace)
            else:
                writer.write(piece.tree, (source,), _destination(order, source))
        for name, text in order.inlines:
            data = text.encode("utf-8", "surrogateescape")
            time_ns = (workspace.epoch or 0) * 10**9
            node = Node(name, FILE, 0o644, size=len(data), mtime_ns=time_ns, data=data)
            inline = Writer(root, owner or (0, 0), order.mode, stop=workspace.stop, notices=notices)
            source = Source(posixpath.basename(name), node, (("", node),))
            inline.write(MemoryTree(Path("/")), (source,), order.destination)
    except InvalidRequest as error:
        raise _fail(order, order.range, error.message, error.hint) from error
    return True


def _destination(order: Order, source: Source) -> str:
    if not order.parents:
        return order.destination
    return posixpath.join(order.destination, source.below).rstrip("/") + "/"


def is_archive(tree: Tree, node: Node) -> bool:
    """Whether the file is a tar, plain or compressed: by its content, not its name."""
    try:
        with Data(tree, node) as data:
            block = Plain(data).read(headers.BLOCK)
        if len(block) < headers.BLOCK:
            return False
        headers.decode(block)
    except (Corrupt, OSError):
        return False
    return True


def _fill_archive(
    root: int,
    tree: Tree,
    node: Node,
    owner: tuple[int, int] | None,
    order: Order,
    writer: Writer,
    workspace: Workspace,
) -> None:
    with workspace.temporary() as folder:
        try:
            with Data(tree, node) as data:
                inner = unpack(Plain(data), folder)
        except Corrupt as error:
            raise _fail(order, order.range, f"unpacking {node.path}: {error.message}", error.hint) from error
        (source,) = find_sources(inner, "/", PathMatcher([]))
        unpacker = Writer(root, owner, order.mode, replace=True, stop=writer.stop, notices=writer.notices)
        unpacker.write(inner, (source,), order.destination.rstrip("/") + "/")
