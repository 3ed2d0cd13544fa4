"""``%%in``: what goes in, what comes out, and what an image may not do by what it gives back."""

from __future__ import annotations

import base64
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from labdock.commands.results import Exited
from labdock.errors import InvalidRequest
from labdock.notebook import inside_program
from labdock.notebook.inside import CellFailed, InsideFace, _finish, _names


def run(source: str, wanted: tuple[str, ...] = (), how: str = "json", **values: Any) -> tuple[InsideFace, int, str]:
    """The program as it runs in an image, here: the face that has read its output, the exit code, the errors."""
    face = InsideFace(source, space={})
    face.order(values, wanted, how)
    command = [sys.executable, "-I", "-c", Path(inside_program.__file__).read_text()]
    done = subprocess.run(command, input=face.read_input(), capture_output=True, check=False, timeout=60)
    for place in range(0, len(done.stdout), 7):
        face.write("stdout", done.stdout[place : place + 7])
    face.close()
    return face, done.returncode, done.stderr.decode()


def test_values_go_in_and_out(capsys: pytest.CaptureFixture[str]) -> None:
    values: dict[str, Any] = {"a": [1, 2.5, None, {"é": "\x00"}], "b": bytes(range(256))}
    face, code, _ = run("c = a + [len(b)]\nd = b[::-1]\nprint('é', end='')\nlen(a)", ("c", "d"), **values)
    _finish(face, Exited(code), ("c", "d"), "json")
    assert face.space == {"c": [1, 2.5, None, {"é": "\x00"}, 256], "d": bytes(range(256))[::-1]}
    assert capsys.readouterr().out == "é4\n"


def test_output_with_zero_bytes_is_the_cells_own(capsys: pytest.CaptureFixture[str]) -> None:
    face, code, _ = run("print('a\\0b\\0', end='')")
    assert code == 0
    assert face.answer() is not None
    assert capsys.readouterr().out == "a\0b\0"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("x = 1\nraise ValueError('no')", r"ValueError: no \(line 3 of the cell\)"),
        ("def f():\n  1/0\n\nf()", r"ZeroDivisionError: division by zero \(line 3 of the cell\)"),
        ("x = (1", r"SyntaxError: .*\(line 2 of the cell\)"),
        ("y = 1", "no variable 'x' to give back"),
        ("x = object()", "'x' of type object can't be given back"),
        ("x = {1: 2}", "'x' of type dict can't be given back"),
    ],
)
def test_what_goes_wrong_is_one_line(source: str, words: str) -> None:
    face, code, errors = run(source, ("x",))
    assert code == 1
    assert "inside_program" not in errors
    assert "<string>" not in errors
    with pytest.raises(CellFailed, match=words):
        _finish(face, Exited(code), ("x",), "json")
    assert face.space == {}


def test_exit_codes_are_kept() -> None:
    face, code, _ = run("import sys; sys.exit(3)", ("x",))
    assert (code, face.answer()) == (3, face.answer())
    assert _finish(face, Exited(code), (), "json") is not None


@pytest.mark.parametrize("value", [{1, 2}, (1, 2), float("nan"), {1: 2}, [b"x"], object()])
def test_what_json_would_change_does_not_go_in(value: object) -> None:
    with pytest.raises(InvalidRequest, match="can't go in"):
        InsideFace("", space={}).order({"v": value}, (), "json")


def test_pickles_when_asked_for() -> None:
    face, code, _ = run("t = s | {3}", ("t",), "pickle", s={1})
    _finish(face, Exited(code), ("t",), "pickle")
    assert face.space == {"t": {1, 3}}


def answer(**parts: Any) -> InsideFace:
    face = InsideFace("", space={"mine": 1})
    face.write("stdout", b"\0" + face.mark.encode() + json.dumps(parts).encode() + b"\0")
    return face


def test_an_image_sets_no_variable_that_was_not_asked_for() -> None:
    face = answer(values={"x": {"json": 2}, "mine": {"json": 3}})
    _finish(face, Exited(0), ("x",), "json")
    assert face.space == {"mine": 1, "x": 2}


def test_an_image_that_answers_with_a_pickle_runs_nothing() -> None:
    bomb = base64.b64encode(pickle.dumps({1})).decode()
    with pytest.raises(InvalidRequest, match="can't be read"):
        _finish(answer(values={"x": {"pickle": bomb}}), Exited(0), ("x",), "json")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"values": 1}'])
def test_an_answer_that_is_none_is_an_error(data: bytes) -> None:
    face = InsideFace("", space={})
    face.write("stdout", b"\0" + face.mark.encode() + data + b"\0")
    with pytest.raises(InvalidRequest, match="can't be read"):
        face.answer()


def test_another_mark_is_output(capsys: pytest.CaptureFixture[str]) -> None:
    face = InsideFace("", space={})
    face.write("stdout", b"\0" + b"0" * 32 + b"{}\0")
    face.close()
    assert face.answer() is None
    assert capsys.readouterr().out == "\0" + "0" * 32 + "{}\0"


def test_names_are_names() -> None:
    assert _names(("a, b", "c")) == ("a", "b", "c")
    for text in ("a b", "1", "class", "a;b"):
        with pytest.raises(InvalidRequest):
            _names((text,))
