"""Option texts that Docker's command line would refuse, and what else the differential test does not reach."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from labdock.commands import mount_option, units, values
from labdock.commands.running import split_tag
from labdock.commands.talking import moment
from labdock.errors import InvalidRequest


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (values.size, "12q"),
        (values.size, "-1"),
        (values.duration, "5"),
        (values.duration, "5s3"),
        (values.cpus, "0.00000000001"),
        (mount_option.mount, "type=bind,src=/a"),
        (mount_option.mount, "type=volume,dst=/a,bind-propagation=slave"),
        (mount_option.mount, "dst=/a,nonsense=1"),
        (values.ulimit, "nofile"),
        (values.restart, "always:3"),
        (values.extra_host, "nothing"),
        (lambda text: values.ports([text]), "80/icmp"),
        (lambda text: values.ports([text]), "8080:"),
        (lambda text: values.ports([text]), "1-3:1-2"),
        (lambda text: values.volumes([text]), "a:"),
        (lambda text: values.volumes([text]), "/"),
        (lambda text: values.exposed([text]), "80:80"),
        (lambda text: values.environment([text], (), {}), "=x"),
        (lambda text: values.key_values([text]), "=x"),
        (lambda text: values.environment((), [text], {}), "/does/not/exist"),
    ],
)
def test_refused(parse: Callable[[str], object], text: str) -> None:
    with pytest.raises(InvalidRequest):
        parse(text)


@pytest.mark.parametrize(("text", "count"), [("5", 5), ("1k", 1024), ("1KiB", 1024), ("1.5m", 1572864), ("2GB", 2**31)])
def test_sizes(text: str, count: int) -> None:
    assert values.size(text) == count


@pytest.mark.parametrize(
    ("text", "nanoseconds"), [("0", 0), ("300ms", 3 * 10**8), ("1h30m", 5400 * 10**9), ("1.5s", 15 * 10**8)]
)
def test_durations(text: str, nanoseconds: int) -> None:
    assert values.duration(text) == nanoseconds


def test_environment_files(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("# comment\n\nA=1\nHOME\nABSENT\nQ='x y'\n")
    assert values.environment(["A=2"], [str(path)], {"HOME": "/h"}) == ("A=1", "HOME=/h", "Q='x y'", "A=2")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("busybox", ("busybox", "latest")),
        ("a:1", ("a", "1")),
        ("localhost:5000/a", ("localhost:5000/a", "latest")),
        ("localhost:5000/a:1", ("localhost:5000/a", "1")),
        ("a@sha256:00", ("a", "sha256:00")),
    ],
)
def test_names_and_tags(name: str, parts: tuple[str, str]) -> None:
    assert split_tag(name) == parts


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("12", "12"),
        ("1.5", "1.5"),
        ("10m", "400.000000000"),
        ("1970-01-01T00:01:40Z", "100.000000000"),
        ("1970-01-01T00:01:40.25+00:00", "100.250000000"),
    ],
)
def test_moments(text: str | None, seconds: str | None) -> None:
    assert moment(text, now=1000) == seconds


@pytest.mark.parametrize("text", ["yesterday", "1970-13-01", "5x"])
def test_moments_that_are_none(text: str) -> None:
    with pytest.raises(InvalidRequest):
        moment(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (150, "2 minutes"),
        (3600, "About an hour"),
        (3600 * 47, "47 hours"),
        (3600 * 24 * 5, "5 days"),
        (3600 * 24 * 21, "3 weeks"),
        (3600 * 24 * 90, "3 months"),
        (3600 * 24 * 800, "2 years"),
    ],
)
def test_spans(seconds: float, text: str) -> None:
    assert units.span(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0B"), (999, "999B"), (4260000, "4.26MB"), (1.5e9, "1.5GB")])
def test_human_sizes(count: float, text: str) -> None:
    assert units.size(count, 3) == text
