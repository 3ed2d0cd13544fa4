"""Which error an answer becomes."""

from __future__ import annotations

import pytest

from labdock import errors
from labdock.client.failures import restore


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "bad", errors.InvalidRequest),
        (404, "No such container: web", errors.NoSuchContainer),
        (404, "No such image: a:b", errors.NoSuchImage),
        (404, "No such exec instance: 12", errors.NoSuchExec),
        (404, "network web not found", errors.NoSuchNetwork),
        (404, "get data: no such volume", errors.NoSuchVolume),
        (404, "page not found", errors.NotFound),
        (409, "name taken", errors.Conflict),
        (418, "a teapot", errors.InvalidRequest),
        (500, "broken", errors.SystemFailure),
        (501, "not yet", errors.Unsupported),
        (502, "odd", errors.LabdockError),
        (503, "busy", errors.Unavailable),
    ],
)
def test_kinds(status: int, message: str, kind: type[errors.LabdockError]) -> None:
    error = restore(status, b'{"message": "%b", "hint": "do this"}' % message.encode())
    assert type(error) is kind
    assert (str(error), error.hint) == (message, "do this")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"message": 3}', b"\xff\xfe"])
def test_answers_without_a_message(body: bytes) -> None:
    assert restore(500, body).message


def test_a_dockerfile_error_keeps_its_place() -> None:
    error = restore(400, b'{"message":"unknown instruction","line":3,"column":0,"end_column":4}')
    assert isinstance(error, errors.DockerfileError)
    assert (error.line, error.end_line, error.column, error.end_column) == (3, 3, 0, 4)


def test_a_dockerfile_error_in_words_only_has_its_line() -> None:
    error = restore(400, b'{"message":"dockerfile parse error on line 3: unknown instruction: RNU"}')
    assert isinstance(error, errors.DockerfileError)
    assert (error.line, error.column) == (3, -1)
