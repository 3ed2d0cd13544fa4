"""Write ``labdock/client/aio.pyi``: the types of the asyncio client, from the blocking client's signatures.

async_stub.py [--check]     (--check: exit with 1 when the file is not as it would be written)
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

CLIENT = Path(__file__).parents[1] / "labdock" / "client"
TARGET = CLIENT / "aio.pyi"
#: module → its classes that the asyncio client has.
CLASSES = {
    "builds": ("Builds",),
    "containers": ("Containers", "Execs", "Waiting"),
    "images": ("Images",),
    "programs": ("Running",),
    "registries": ("Registries",),
    "streams": ("Attached", "Output"),
    "system": ("Networks", "System", "Volumes"),
}
PARTS = ("Builds", "Containers", "Execs", "Images", "Networks", "Registries", "System", "Volumes")
HANDLES = ("Attached", "Output", "Running", "Waiting")
ITEMS = {"Attached": "tuple[Stream, bytes]", "Output": "tuple[Stream, bytes]"}
HEAD = """# Written by scripts/async_stub.py from the blocking client's signatures: change those, then run it again.
# ruff: noqa
# mypy: disable-error-code="valid-type"

import builtins
"""


class Names(ast.NodeTransformer):
    """Handles by the names they have here."""

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(f"Async{node.id}", node.ctx) if node.id in HANDLES else node


def method(node: ast.FunctionDef) -> str:
    """The stub of one method: streams stay plain functions, the rest is awaited, properties stay as they are."""
    decorators = [ast.unparse(each) for each in node.decorator_list]
    given = "" if node.returns is None else ast.unparse(Names().visit(node.returns))
    prefix = "".join(f"    @{each}\n" for each in decorators)
    arguments = ast.unparse(node.args)
    if given.startswith("Iterator["):
        return f"{prefix}    def {node.name}({arguments}) -> AsyncStream[{given[9:-1]}]: ..."
    kind = "def" if "property" in decorators else "async def"
    return f"{prefix}    {kind} {node.name}({arguments}) -> {given}: ..."


def bodies(node: ast.ClassDef) -> list[str]:
    found = []
    overloaded: set[str] = set()
    for each in node.body:
        if not isinstance(each, ast.FunctionDef) or each.name.startswith("_"):
            continue
        if any(ast.unparse(decorator) == "overload" for decorator in each.decorator_list):
            overloaded.add(each.name)
        elif each.name in overloaded:
            continue
        found.append(method(each))
    attributes = [
        f"    {target.attr}: {'str' if target.attr in ('id', 'name') else 'bool'}"
        for each in ast.walk(node)
        if isinstance(each, ast.Assign)
        for target in each.targets
        if isinstance(target, ast.Attribute) and target.attr in ("id", "name", "tty")
    ]
    return [*attributes, *found]


def imports(tree: ast.Module) -> list[ast.ImportFrom]:
    found: list[ast.ImportFrom] = []
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            found.append(node)
        elif isinstance(node, ast.If):
            found += [each for each in node.body if isinstance(each, ast.ImportFrom)]
    return found


def generate() -> str:
    lines, aliases = set[str](), set[str]()
    classes: list[tuple[str, list[str]]] = []
    for module, wanted in CLASSES.items():
        tree = ast.parse((CLIENT / f"{module}.py").read_text())
        plain = [node for node in tree.body if isinstance(node, ast.Import)]
        lines.update(f"import {name.name}" for node in plain for name in node.names)
        for each in imports(tree):
            if each.module == "__future__":
                continue
            lines.update(f"from {each.module} import {name.name}" for name in each.names)
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name = node.targets[0].id
                if name in ("Filters", "Wire", "Headers", "Command", "Stream"):
                    aliases.add(f"{name} = {ast.unparse(node.value)}")
            if isinstance(node, ast.ClassDef) and node.name in wanted:
                classes.append((node.name, bodies(node)))
            elif isinstance(node, ast.ClassDef):
                lines.add(f"from labdock.client.{module} import {node.name}")
    lines = {line for line in lines if line.rpartition(" ")[2] not in (*HANDLES, *PARTS)}
    lines |= {"from typing import Any, Generic, Self, TypeVar", "from collections.abc import AsyncIterator"}
    defined = {alias.partition(" ")[0] for alias in aliases}
    text = [HEAD, *sorted(line for line in lines if line.rpartition(" ")[2] not in defined), *sorted(aliases), ""]
    text += ['T = TypeVar("T")', "", "class AsyncStream(AsyncIterator[T], Generic[T]):"]
    text += ["    def __aiter__(self) -> Self: ...", "    async def __anext__(self) -> T: ..."]
    text += ["    async def aclose(self) -> None: ...", *CONTEXT]
    for name, members in classes:
        text += ["", f"class Async{name}:", *(members or ["    ..."])]
        if name in HANDLES:
            text += CONTEXT
        if name in ITEMS:
            text += [f"    def __aiter__(self) -> AsyncStream[{ITEMS[name]}]: ..."]
    text += ["", "class AsyncClient:", "    def __init__(self, make: Callable[[type[Any]], Any]) -> None: ..."]
    text += [f"    @property\n    def {name.lower()}(self) -> Async{name}: ..." for name in PARTS]
    return "\n".join([*text, *CONTEXT]) + "\n"


CONTEXT = [
    "    async def __aenter__(self) -> Self: ...",
    "    async def __aexit__(self, *_exception: object) -> None: ...",
]


def main(arguments: list[str]) -> int:
    text = generate()
    if arguments == ["--check"]:
        return 0 if TARGET.exists() and TARGET.read_text() == text else 1
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
