"""The rooms of labdock and which of them each may import, held against the code.

Imports inside functions count too: a late import is still a dependency. Only ``if TYPE_CHECKING:`` is no excuse either.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "labdock"

#: room → the rooms it may import. ``errors`` is open to every room but ``schema``.
ALLOWED: dict[str, str] = {
    "errors": "",
    "schema": "",
    "sys": "errors",
    # schema: a Plan names Paths, and the wire's warnings are its notices.
    "host": "errors schema sys",
    "store": "errors schema sys host",
    "registry": "errors schema",
    "images": "errors schema registry store",
    "runtime": "errors schema sys host",
    "network": "errors schema sys host",
    "build": "errors schema store",
    "engine": "errors schema sys host store registry images runtime network build",
    "api": "errors schema engine",
    # network: the values that ask the outer process for its ports.
    "daemon": "errors schema sys host network engine api",
    "client": "errors schema",
    # client: a project is carried out through it; the files' meaning knows nothing of it.
    "compose": "errors schema client",
    "kernels": "errors schema client",
    "commands": "errors schema client compose kernels",
    # The two faces of a command show what it yields: the client's results and the schema's events.
    "cli": "errors schema client commands",
    "notebook": "errors schema client commands",
    "jupyter": "errors schema client commands compose kernels",
    "labs": "errors client",
    "integrations": "errors client",
}

#: The longest module, in lines.
LONGEST = 500

#: Names that say nothing about what is inside.
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}

MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    """The room that the module *path* belongs to; the package's own ``__init__`` is the room ``""``."""
    parts = path.relative_to(PACKAGE).parts
    return parts[0].removesuffix(".py") if parts != ("__init__.py",) else ""


def imports_of(path: Path, source: str) -> Iterator[tuple[int, str]]:
    """(line, room) of each import of labdock in *source*, the text of the module *path*."""
    package = ("labdock", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            names = [f"{module}.{alias.name}" for alias in node.names] if module == "labdock" else [module]
        elif isinstance(node, ast.Call) and _is_import_call(node):
            names = [a.value for a in node.args[:1] if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        for name in names:
            head, *rest = name.split(".")
            if head == "labdock" and rest:
                yield getattr(node, "lineno", 0), rest[0]


def _is_import_call(node: ast.Call) -> bool:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name in ("import_module", "__import__")


def trespasses(path: Path, source: str) -> list[str]:
    """The imports in *source* that the table does not allow to the room of *path*."""
    room = room_of(path)
    allowed = {room, "__version__", *ALLOWED.get(room, "").split()}
    where = path.relative_to(PACKAGE.parent)
    return [
        f"{where}:{line}: {room} may not import {other}"
        for line, other in imports_of(path, source)
        if other not in allowed
    ]


def test_every_room_is_in_the_table() -> None:
    rooms = {room_of(path) for path in MODULES} - {""}
    assert rooms <= set(ALLOWED), f"rooms without a line: {sorted(rooms - set(ALLOWED))}"


def test_the_table_has_no_cycle() -> None:
    settled: set[str] = set()
    while settled != set(ALLOWED):
        ready = {room for room, allowed in ALLOWED.items() if room not in settled and set(allowed.split()) <= settled}
        assert ready, f"these import each other: {sorted(set(ALLOWED) - settled)}"
        settled |= ready


def test_rooms_import_only_what_their_line_lists() -> None:
    found = [line for path in MODULES if room_of(path) for line in trespasses(path, path.read_text())]
    assert not found, "\n".join(found)


def test_importing_the_package_imports_no_room() -> None:
    """``import labdock`` stays cheap: what it offers, it loads when asked (by functions)."""
    path = PACKAGE / "__init__.py"
    top_level = [
        node
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Import | ast.ImportFrom) and "labdock" in ast.unparse(node)
    ]
    assert not top_level, [ast.unparse(node) for node in top_level]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("from labdock.engine import Engine", "store may not import engine"),
        ("import labdock.api.routes", "store may not import api"),
        ("def late():\n    from labdock import client", "store may not import client"),
        ("from ..network import ipam", "store may not import network"),
        ("import importlib\nimportlib.import_module('labdock.cli')", "store may not import cli"),
    ],
)
def test_a_trespass_is_seen(line: str, complaint: str) -> None:
    found = trespasses(PACKAGE / "store" / "content.py", line)
    assert len(found) == 1
    assert complaint in found[0]


@pytest.mark.parametrize(
    "line", ["from labdock.sys import mounts", "from . import content", "from labdock import errors"]
)
def test_what_the_table_allows_is_let_pass(line: str) -> None:
    assert trespasses(PACKAGE / "store" / "gc.py", line) == []


def test_no_module_is_too_long() -> None:
    long = {str(p.relative_to(PACKAGE)): n for p in MODULES if (n := len(p.read_text().splitlines())) > LONGEST}
    assert not long, f"over {LONGEST} lines: {long}"


def test_modules_are_named_for_what_they_hold() -> None:
    empty = [
        str(p.relative_to(PACKAGE)) for p in MODULES if p.stem.strip("_") in EMPTY_NAMES or p.parent.name in EMPTY_NAMES
    ]
    assert not empty, empty
