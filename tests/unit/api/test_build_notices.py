"""How Docker's stream says what a build noticed."""

from __future__ import annotations

import pytest

from labdock.api.build_lines import BuildLines
from labdock.schema.build import BuildNotice


@pytest.mark.parametrize(
    ("notice", "line"),
    [
        (BuildNotice(text="words", line=4, check="UndefinedVar"), " ---> [Warning] UndefinedVar: words (line 4)\n"),
        (BuildNotice(text="[Warning] One or more build-args"), "[Warning] One or more build-args\n"),
        (BuildNotice(text="# Executing 1 build trigger"), "# Executing 1 build trigger\n"),
        (BuildNotice(text="a device is not copied"), " ---> [Warning] a device is not copied\n"),
    ],
)
def test_notices_are_lines_of_the_stream(notice: BuildNotice, line: str) -> None:
    assert list(BuildLines().render(notice)) == [{"stream": line}]
