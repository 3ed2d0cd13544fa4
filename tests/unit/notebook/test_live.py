"""Outputs in place: not too often, and the last state always."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from labdock.client.progress import Detail, JobLine
from labdock.commands.build_view import BuildView
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


def test_a_job_shows_its_parts_once_each() -> None:
    screen = Screen()
    lines = [JobLine(status="Pulling a")]
    lines += [JobLine(id="l1", status="Downloading", detail=Detail(n, 10)) for n in range(10)]
    NotebookFace(live=screen.output).show_job("Pulling a", iter(lines))
    assert screen.shown[-1].splitlines() == ["Pulling a", "  l1: Downloading 9B/10B", "  Pulling a"]
