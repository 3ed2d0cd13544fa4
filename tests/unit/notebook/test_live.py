"""Outputs in place: not too often, and the last state always."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from labdock.client.progress import Detail, JobLine
from labdock.commands.build_view import BuildView
from labdock.errors import Unavailable
from labdock.notebook.face import NotebookFace
from labdock.notebook.live import LiveOutput, Picture
from labdock.schema.build import AnyBuildEvent, BuildDone, StepDone, StepOutput, StepStarted


class Screen:
    """What a front end would have got."""

    def __init__(self) -> None:
        self.now = 0.0
        self.shown: list[str] = []

    def output(self, picture: Picture) -> LiveOutput:
        return LiveOutput(picture, self.show, lambda: self.now)

    def show(self, picture: Picture) -> Callable[[Picture], None]:
        self.shown.append(picture._repr_mimebundle_()["text/plain"])
        return self.update

    def update(self, picture: Picture) -> None:
        self.shown.append(picture._repr_mimebundle_()["text/plain"])


def test_at_most_ten_a_second() -> None:
    screen, state = Screen(), [0]
    live = screen.output(Picture(lambda: str(state[0]), lambda: ""))
    for step in range(1000):
        screen.now, state[0] = step / 1000, step
        live.refresh()
    live.refresh(force=True)
    assert len(screen.shown) == 11
    assert screen.shown[-1] == "999"


def test_a_build_moves_while_it_is_silent_and_ends_with_its_result() -> None:
    screen = Screen()
    view = BuildView("Building app")

    def events() -> Iterator[AnyBuildEvent | None]:
        yield StepStarted(step=1, total=1, text="RUN sleep 9", line=2)
        for _ in range(3):
            screen.now += 0.5
            yield None
        yield StepOutput(step=1, stream="stdout", text="done\n")
        yield StepDone(step=1, state="s", seconds=1.5)
        yield BuildDone(image="sha256:1", names=("app:latest",), seconds=1.5)

    NotebookFace(live=screen.output).show_build(view, events())
    assert len(screen.shown) == 5
    assert screen.shown[-1].splitlines()[-1] == "Built app:latest in 1.5 s: 1 steps"


def test_an_interrupted_build_is_closed_and_says_so() -> None:
    screen, closed = Screen(), []

    def events() -> Iterator[AnyBuildEvent | None]:
        try:
            yield StepStarted(step=1, total=1, text="RUN sleep 9", line=2)
            raise KeyboardInterrupt
        finally:
            closed.append(True)

    try:
        NotebookFace(live=screen.output).show_build(BuildView("Building app"), events())
    except KeyboardInterrupt:
        assert closed == [True]
        assert "interrupted" in screen.shown[-1]
        return
    raise AssertionError("the interrupt must go on")


def job(screen: Screen) -> NotebookFace:
    return NotebookFace(live=screen.output, clock=lambda: screen.now)


def test_a_job_shows_its_parts_once_each() -> None:
    screen = Screen()
    lines = [JobLine(status="Pulling a")]
    lines += [JobLine(id="l1", status="Downloading", detail=Detail(n, 10)) for n in range(10)]
    lines += [JobLine(id="l1", status="Pull complete")]
    job(screen).show_job("Pulling a", iter(lines))
    assert screen.shown[-1].splitlines() == [
        "Pulling a · 10B · 1 layer",
        "  l1  Pull complete       10B",
        "  Pulling a",
    ]


def test_a_job_moves_at_most_ten_times_a_second_and_with_the_clock() -> None:
    screen = Screen()

    def lines() -> Iterator[JobLine | None]:
        for step in range(1000):
            screen.now = step / 1000
            yield JobLine(id="l1", status="Downloading", detail=Detail(step, 2000))
        screen.now = 5.0
        yield None

    job(screen).show_job("Pulling a", lines())
    assert len(screen.shown) == 12
    assert screen.shown[-2].splitlines()[0] == "Pulling a · 999B of 2kB · 200B/s · 0 of 1 layer"
    assert screen.shown[-1].splitlines()[0] == "Pulling a · 999B of 2kB · 0 of 1 layer · 5.0 s"


@pytest.mark.parametrize(("error", "word"), [(KeyboardInterrupt, "interrupted"), (Unavailable("gone"), "failed")])
def test_a_job_that_ends_early_is_closed_and_says_so(error: BaseException | type[BaseException], word: str) -> None:
    screen, closed = Screen(), []

    def lines() -> Iterator[JobLine | None]:
        try:
            yield JobLine(id="l1", status="Downloading", detail=Detail(1, 10))
            raise error
        finally:
            closed.append(True)

    with pytest.raises((KeyboardInterrupt, Unavailable)):
        job(screen).show_job("Pulling a", lines())
    assert closed == [True]
    assert screen.shown[-1].startswith(f"Pulling a {word} · 1B of 10B")


def test_a_job_that_is_refused_at_once_shows_nothing_but_its_error() -> None:
    screen = Screen()

    def lines() -> Iterator[JobLine | None]:
        if screen.now == 0:
            raise Unavailable("gone")
        yield None

    with pytest.raises(Unavailable):
        job(screen).show_job("Pulling a", lines())
    assert screen.shown == []
