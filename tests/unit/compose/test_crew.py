"""Work along a graph: what may go side by side does, what needs others comes after, one failure stops it all."""

from __future__ import annotations

import os
import select
import signal
import threading
import time

import pytest

from labdock.compose.crew import MOST_ACTS, Crew, Halted

PATIENCE = 20.0


def test_what_needs_nothing_of_each_other_goes_side_by_side() -> None:
    both = threading.Barrier(2)

    def act(key: str) -> None:
        both.wait(PATIENCE)

    Crew().carry_out({"a": (), "b": ()}, act)


def test_what_needs_others_comes_after_them() -> None:
    done: list[str] = []
    Crew().carry_out({"c": ["a", "b"], "b": ["a"], "a": [], "d": ["c", "not there"]}, done.append)
    assert done == ["a", "b", "c", "d"]


def test_there_are_bounds_for_acts_but_not_for_those_that_wait() -> None:
    lock, inside, most = threading.Lock(), 0, 0
    ready = threading.Barrier(MOST_ACTS * 3)

    def act(key: int) -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.005)
        with lock:
            inside -= 1

    def before(key: int) -> None:
        ready.wait(PATIENCE)

    Crew().carry_out({key: () for key in range(MOST_ACTS * 3)}, act, before=before)
    assert most <= MOST_ACTS


def test_the_first_failure_is_raised_and_nothing_more_begins() -> None:
    done: list[str] = []
    crew = Crew()

    def act(key: str) -> None:
        if key == "bad":
            raise ValueError("it fails")
        if key == "slow":
            # What waits is told, and gives up.
            assert select.select([crew.halt.fileno()], [], [], PATIENCE)[0]
            crew.halt.check()
        done.append(key)

    with pytest.raises(ValueError, match="it fails"):
        crew.carry_out({"slow": (), "bad": (), "after": ["bad"], "later": ["slow"]}, act)
    assert done == []


def test_an_interrupt_calls_off_what_is_left_and_lets_the_rest_end() -> None:
    done: list[str] = []
    crew = Crew()
    began = threading.Event()

    def act(key: str) -> None:
        if key == "long":
            began.set()
            select.select([crew.halt.fileno()], [], [], PATIENCE)
            done.append("tidied")
        crew.halt.check()
        done.append(key)

    def interrupt() -> None:
        began.wait(PATIENCE)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        crew.carry_out({"long": (), "after": ["long"]}, act)
    end = time.monotonic() + PATIENCE
    while not done and time.monotonic() < end:
        time.sleep(0.01)
    assert done == ["tidied"]
    with pytest.raises(Halted):
        crew.halt.check()


def test_lines_are_heard_in_the_thread_that_made_the_crew_rounds_within_rounds_too() -> None:
    heard: list[tuple[str, int]] = []
    crew = Crew(lambda text: heard.append((text, threading.get_ident())))

    def act(key: str) -> None:
        crew.say(key)
        crew.carry_out({f"{key}{n}": () for n in range(3)}, crew.say)

    crew.carry_out({"a": (), "b": ["a"]}, act)
    assert [text for text, _ in heard if len(text) == 1] == ["a", "b"]
    assert sorted(text for text, _ in heard) == ["a", "a0", "a1", "a2", "b", "b0", "b1", "b2"]
    assert {thread for _, thread in heard} == {threading.get_ident()}
