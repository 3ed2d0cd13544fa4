"""What the tab key offers."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from labdock.notebook.completion import Completion, unregister

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
