"""What crun and conmon say, as the errors that Docker's clients know."""

from __future__ import annotations

import pytest

from labdock.errors import InvalidRequest, SystemFailure
from labdock.runtime.drivers import failures


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            "2026-11-24T07:40:00.123456Z: executable file `nosuch` not found in $PATH: No such file or directory\n",
            'exec: "nosuch": executable file not found in $PATH',
        ),
        (
            "executable file `/x y` not found in $PATH: No such file or directory",
            'exec: "/x y": stat /x y: no such file or directory',
        ),
        ("open executable: Operation not permitted", 'exec: "prog": permission denied'),
        ("crun: open executable: Permission denied\n", 'exec: "prog": permission denied'),
        (
            "chdir `/gone`: No such file or directory",
            'chdir to cwd ("/gone") set in config.json failed: no such file or directory',
        ),
    ],
)
@pytest.mark.parametrize("opening", [failures.CREATE, failures.EXEC])
def test_the_callers_fault(said: str, words: str, opening: str) -> None:
    """docker CLI (cli/command/container/run.go): 127 by "executable file not found", 126 by "permission denied"."""
    error = failures.translate(said, "prog", opening)
    assert isinstance(error, InvalidRequest)
    assert error.message == f"{opening}unable to start container process: {words}: unknown"


def test_ours_or_the_machines() -> None:
    error = failures.translate("warn\n2026-01-01T00:00:00.000000Z: mount `x` to `y`: Invalid argument\n", "p", "O: ")
    assert isinstance(error, SystemFailure)
    assert error.message == "O: mount `x` to `y`: Invalid argument: unknown"
    assert "without a word" in failures.translate("", "p", "O: ").message
