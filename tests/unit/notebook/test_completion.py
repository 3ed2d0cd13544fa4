"""What the tab key offers."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from labdock.client import Client
from labdock.client.scripted import Reply, Script, ScriptedTransport
from labdock.notebook.completion import PATIENCE, Completion, unregister

NAMES = {
    "container": ["web", "db"],
    "image": ["busybox:latest", "app:1"],
    "network": ["bridge", "none"],
    "volume": ["data"],
}


def offered(line: str, first: str = "", *, in_body: bool = False) -> list[str] | None:
    shell: Any = object()
    found = Completion(shell, NAMES.__getitem__).complete(first or line, line, in_body=in_body)
    return None if found is None else [text for text, _ in found]


@pytest.mark.parametrize(
    ("line", "texts"),
    [
        ("%container st", ["start", "stats", "stop"]),
        ("  %container vol", ["volume"]),
        ("x = %container rmi", ["rmi"]),
        ("%container image pu", ["pull", "push"]),
        ("%container run --env", ["--env", "--env-file"]),
        ("%container run --sig", ["--sig-proxy"]),
        ("%container stop w", ["web"]),
        ("%container stop ", ["web", "db"]),
        ("%explain d", ["db"]),
        ("%%in bus", ["busybox:latest"]),
        ("%%in --pick", ["--pickle"]),
        ("%container explain ", ["web", "db"]),
        ("%container run bus", ["busybox:latest"]),
        ("%container rmi ", ["busybox:latest", "app:1"]),
        ("%container image rm a", ["app:1"]),
        ("%container inspect ", ["web", "db", "busybox:latest", "app:1", "bridge", "none", "data"]),
        ("%container network inspect ", ["bridge", "none"]),
        ("%container network ls ", []),
        ("%container volume rm d", ["data"]),
        ("%container run --network b", ["bridge"]),
        ("%container run -d --name x bus", ["busybox:latest"]),
        ("%container run -itd ", ["busybox:latest", "app:1"]),
        ("%container run -it --rm busybox ", []),
        ("%container exec web l", []),
        ("%%dockerfile --build", ["--build-arg", "--build-context"]),
        ("%container nonsense ", []),
        ("%compose lo", ["logs"]),
        ("%compose up --rem", ["--remove-orphans"]),
        ("%%compose -p x up --de", ["--detach"]),
        ("%compose logs w", []),
        ("%container volume inspect ", ["data"]),
        ("%container", None),
        ("%containers x", None),
        ("print(1)", None),
    ],
)
def test_lines(line: str, texts: list[str] | None) -> None:
    assert offered(line) == texts


@pytest.mark.parametrize(
    ("line", "first", "texts"),
    [
        ("EN", "%%dockerfile -t x", ["ENTRYPOINT", "ENV"]),
        ("  wo", "%%dockerfile", ["WORKDIR"]),
        ("RUN en", "%%dockerfile", None),
        ("EN", "x = 1", None),
    ],
)
def test_bodies(line: str, first: str, texts: list[str] | None) -> None:
    assert offered(line, first, in_body=True) == texts


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        ("ser", ["services"]),
        ("services:\n  web:\n    ima", ["image"]),
        ("services:\n  web:\n    image: x\n    depends_on:\n      db: {}\n    heal", ["healthcheck"]),
        ("services:\n  web:\n    image: bus", None),
        ("services:\n  w", []),
        ("services:\n  web:\n    environment:\n      A", []),
        ("services:\n  web:\n    image: x\nvol", ["volumes"]),
    ],
)
def test_compose_files(text: str, texts: list[str] | None) -> None:
    first, *before = ["%%compose up", *text.split("\n")[:-1]]
    shell: Any = object()
    found = Completion(shell, NAMES.__getitem__).complete(first, text.split("\n")[-1], in_body=True, before=before)
    assert (None if found is None else [text for text, _ in found]) == texts


def test_an_engine_that_says_nothing_keeps_no_key_waiting() -> None:
    let = threading.Event()
    asked: list[str] = []

    def names(kind: str) -> list[str]:
        asked.append(kind)
        assert let.wait(60)
        return ["web"]

    shell: Any = object()
    completion = Completion(shell, names)
    typed = "%container stop w"
    begun = time.monotonic()
    assert completion.complete(typed, typed, in_body=False) == []
    assert completion.complete(typed, typed, in_body=False) == []
    assert time.monotonic() - begun < 20 * PATIENCE
    assert asked == ["container"], "it is asked once"
    waiting = completion._asking["container"]
    let.set()
    waiting.join(60)
    assert completion.complete(typed, typed, in_body=False) == [("web", "container")]


@pytest.mark.parametrize("kind", ["stop ", "run ", "network inspect ", "volume inspect "])
def test_without_an_engine_there_is_nothing_at_once(kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LABDOCK_RUN", str(tmp_path))
    monkeypatch.setenv("LABDOCK_DATA", str(tmp_path / "data"))
    for name in ("LABDOCK_HOST", "DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    shell: Any = object()
    line = f"%container {kind}"
    assert Completion(shell).complete(line, line, in_body=False) == []
    assert not list(tmp_path.iterdir()), "no engine was started"


def test_names_are_not_asked_for_at_every_key() -> None:
    asked: list[str] = []

    def names(kind: str) -> list[str]:
        asked.append(kind)
        return ["web"]

    shell: Any = object()
    completion = Completion(shell, names)
    for typed in ("%container stop ", "%container stop w", "%container stop we"):
        completion.complete(typed, typed, in_body=False)
    assert asked == ["container"]


def test_an_answer_costs_little_beside_the_first_which_imports() -> None:
    """Processor time against a known piece of work: compiling this file's like takes about 100 ms ten times over."""
    shell: Any = object()
    completion = Completion(shell, NAMES.__getitem__)
    source = Path(__file__).read_text()
    lines = ["%container run --env", "%container stop w", "%container image pu", "%%dockerfile --build"] * 5

    def complete() -> None:
        for line in lines:
            completion.complete(line, line, in_body=False)

    def compile_known() -> None:
        for _ in range(len(lines)):
            compile(source, "x", "exec")

    complete()
    assert least(complete) < 10 * least(compile_known)


def test_a_thousand_names_cost_little_beside_few() -> None:
    """Processor time of a key, the engine's answers read: against reading the same JSON."""
    listed = [
        {"Id": f"{number:064x}", "Names": [f"/web-{number}"], "State": "running", "Image": f"app:{number}"}
        for number in range(1_000)
    ]
    images = [{"Id": f"sha256:{number:064x}", "RepoTags": [f"app:{number}"]} for number in range(1_000)]
    script = Script().on("GET", "/containers/json", Reply(json=listed)).on("GET", "/images/json", Reply(json=images))
    client = Client(ScriptedTransport(script))
    asks = {
        "container": lambda: [each.name for each in client.containers.list(all=True)],
        "image": lambda: [name for image in client.images.list() for name in image.repo_tags],
    }
    shell: Any = object()

    def complete() -> None:
        for line, count in (("%container stop web-9", 111), ("%container run app:", 1_000)):
            found = Completion(shell, lambda kind: asks[kind]()).complete(line, line, in_body=False)
            assert found is not None and len(found) == count

    text = json.dumps([listed, images])

    def read() -> None:
        json.loads(text)

    complete()
    assert least(complete) < 30 * least(read)


def least(work: Callable[[], None]) -> float:
    """Processor seconds, the least of several."""
    found = []
    for _ in range(5):
        begun = time.process_time()
        work()
        found.append(time.process_time() - begun)
    return min(found)


def test_an_old_ipython_gets_what_follows_its_word(monkeypatch: pytest.MonkeyPatch) -> None:
    # Colab's IPython 7 has no matchers that see the cell; its words end at a colon.
    monkeypatch.delattr("IPython.core.completer.context_matcher")
    completer = SimpleNamespace(custom_matchers=[], text_until_cursor="")
    shell: Any = SimpleNamespace(Completer=completer)
    Completion(shell, NAMES.__getitem__).register()
    (match,) = completer.custom_matchers

    def typed(line: str, word: str) -> list[str]:
        completer.text_until_cursor = line
        found: list[str] = match(word)
        return found

    assert typed("%container st", "st") == ["start", "stats", "stop"]
    assert typed("%container run busybox:l", "l") == ["latest"]
    assert typed("%container stop ", "") == ["web", "db"]
    assert typed("print(1", "1") == []
    unregister(shell)
    assert completer.custom_matchers == []
