"""The client for asyncio: calls, streams, cancelling; and that its stub promises what there is."""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import labdock
from labdock.client import aio
from labdock.client.aio import AsyncClient
from labdock.client.scripted import Asked, Reply, Script, ScriptedServer
from labdock.errors import NoSuchContainer

ID = "ab" * 32


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def client(script: Script) -> Iterator[AsyncClient]:
    folder = Path(tempfile.mkdtemp(prefix="ld-", dir="/tmp"))
    with ScriptedServer(script, folder / "s"):
        yield labdock.aconnect({"LABDOCK_HOST": f"unix://{folder}/s"}, start=False)
    shutil.rmtree(folder)


def test_calls_are_awaited(client: AsyncClient, script: Script) -> None:
    script.on("GET", "/containers/json", Reply(json=[{"Id": ID, "Names": ["/web"]}]))

    async def main() -> list[str]:
        async with client:
            return [container.name for container in await client.containers.list(all=True)]

    assert asyncio.run(main()) == ["web"]
    assert script.asked[-1].query == {"all": ["1"]}


def test_errors_are_the_same(client: AsyncClient, script: Script) -> None:
    script.on("GET", "/containers/x/json", Reply(404, {"message": "No such container: x"}))
    with pytest.raises(NoSuchContainer):
        asyncio.run(client.containers.inspect("x"))
    with pytest.raises(AttributeError, match="nope"):
        client.containers.nope()  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="nope"):
        _ = client.nope  # type: ignore[attr-defined]


def test_streams_are_iterated(client: AsyncClient, script: Script) -> None:
    script.on("POST", "/images/create", Reply(lines=(b'{"status":"a"}\n', b'{"status":"b"}\n')))

    async def main() -> list[str]:
        return [line.status async for line in client.images.pull("x") if line is not None]

    assert asyncio.run(main()) == ["a", "b"]


def test_cancelling_hangs_up(client: AsyncClient, script: Script) -> None:
    asked, gone = threading.Event(), threading.Event()

    def endless(_asked: Asked) -> Reply:
        def lines() -> Iterator[bytes]:
            try:
                while True:
                    asked.set()
                    yield b"\n" * 10_000
            finally:
                gone.set()

        return Reply(lines=lines())

    script.on("GET", "/events", endless)

    async def main() -> None:
        async def listen() -> None:
            async for _ in client.system.events():
                pass

        task = asyncio.create_task(listen())
        await asyncio.to_thread(asked.wait, 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(gone.wait, 20)

    asyncio.run(main())


def test_the_stub_promises_only_what_there_is() -> None:
    """``scripts/async_stub.py`` writes it anew when the blocking client has changed."""
    tree = ast.parse(Path(aio.__file__).with_suffix(".pyi").read_text())
    modules = ("builds", "containers", "images", "programs", "registries", "streams", "system")
    known = {
        name: kind
        for module in modules
        for name, kind in vars(importlib.import_module(f"labdock.client.{module}")).items()
        if inspect.isclass(kind)
    }
    checked = 0
    for node in tree.body:
        if not isinstance(node, ast.ClassDef) or (kind := known.get(node.name.removeprefix("Async"))) is None:
            continue
        for method in node.body:
            if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) and not method.name.startswith("_"):
                found = inspect.getattr_static(kind, method.name)
                if not inspect.isfunction(found):
                    continue
                wanted = {each.arg for each in (*method.args.args, *method.args.kwonlyargs)}
                assert wanted <= set(inspect.signature(found).parameters), f"{node.name}.{method.name}"
                checked += 1
    assert checked > 50


PARTS = ("builds", "containers", "files", "images", "programs", "registries", "system")


@pytest.mark.parametrize("part", PARTS)
def test_each_public_method_says_what_it_does(part: str) -> None:
    module = importlib.import_module(f"labdock.client.{part}")
    kinds = [kind for kind in vars(module).values() if inspect.isclass(kind) and kind.__module__ == module.__name__]
    methods = [(kind, name, found) for kind in kinds for name, found in vars(kind).items() if inspect.isfunction(found)]
    missing = [f"{kind.__name__}.{name}" for kind, name, found in methods if name[0] != "_" and not found.__doc__]
    assert methods
    assert [name for name in missing if not name.startswith("_")] == []
