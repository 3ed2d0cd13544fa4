"""What the tab key offers."""

from __future__ import annotations

from typing import Any

import pytest

from labdock.notebook.completion import Completion

NAMES = {"container": ["web", "db"], "image": ["busybox:latest", "app:1"]}


def offered(line: str, first: str = "", *, in_body: bool = False) -> list[str] | None:
    shell: Any = object()
    found = Completion(shell, NAMES.__getitem__).complete(first or line, line, in_body=in_body)
    return None if found is None else [text for text, _ in found]


@pytest.mark.parametrize(
    ("line", "texts"),
    [
        ("%container st", ["start", "stop"]),
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
        ("%container inspect ", ["web", "db", "busybox:latest", "app:1"]),
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
