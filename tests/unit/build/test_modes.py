"""--chmod's two languages."""

from __future__ import annotations

import pytest

from labdock.build.modes import Mode


@pytest.mark.parametrize(
    ("text", "before", "folder", "after"),
    [
        ("755", 0o600, False, 0o755),
        ("04755", 0o600, False, 0o4755),
        ("+x", 0o644, False, 0o755),
        ("u=rwX,go=rX", 0o600, False, 0o644),
        ("u=rwX,go=rX", 0o700, True, 0o755),
        ("g=u", 0o640, False, 0o660),
        ("a-w", 0o666, False, 0o444),
        ("u+s,+t", 0o755, False, 0o5755),
        ("go=", 0o777, False, 0o700),
        ("u=rw-w", 0o777, False, 0o477),
    ],
)
def test_modes(text: str, before: int, folder: bool, after: int) -> None:
    assert oct(Mode(text).apply(before, folder=folder)) == oct(after)


@pytest.mark.parametrize("text", ["8", "10000", "77777", "u", "x=r", "u=z", "", "u=rw,,g=r", "rw"])
def test_bad_modes(text: str) -> None:
    with pytest.raises(ValueError, match="invalid chmod parameter"):
        Mode(text)
