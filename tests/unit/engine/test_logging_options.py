# ruff: noqa: E501  (a table: one line, one expectation)
"""Log drivers and their options, as Docker checks and understands them."""

from __future__ import annotations

import pytest

from labdock.engine.logging_options import Limits, check, find_details, find_limits
from labdock.engine.records import ContainerRecord
from labdock.errors import InvalidRequest
from labdock.schema.container import ContainerConfig, HostConfig, LogConfig

# fmt: off
REFUSED: list[tuple[str, dict[str, str], str]] = [
    ("journald", {}, r"^logger: no log driver named 'journald' is registered$"),
    ("syslog", {}, r"^logger: no log driver named 'syslog' is registered$"),
    ("json-file", {"nope": "1"}, r"^unknown log opt 'nope' for json-file log driver$"),
    ("", {"nope": "1"}, r"^unknown log opt 'nope' for json-file log driver$"),
    ("local", {"labels": "a"}, r"^unknown log opt 'labels' for local log driver$"),
    ("none", {"max-size": "1m"}, r"^unknown log opt 'max-size' for none log driver$"),
    ("json-file", {"max-size": "big"}, r'^max-size: invalid size: "big"$'),
    ("json-file", {"max-size": "0"}, r'^max-size: invalid size: "0"$'),
    ("json-file", {"max-file": "0"}, r"^max-file cannot be less than 1$"),
    ("json-file", {"max-file": "x"}, r"^max-file: .*no number$"),
    ("json-file", {"compress": "true"}, r"^compress cannot be true when"),
    ("json-file", {"mode": "fast"}, r"^logger: invalid logging mode: fast$"),
    ("json-file", {"max-buffer-size": "1m"}, r"^logger: max-buffer-size option is only supported with 'mode=non-blocking'$"),
    ("json-file", {"labels-regex": "("}, r"^log opt labels-regex: "),
]
LIMITS: list[tuple[str, dict[str, str], Limits | None]] = [
    ("", {}, None),
    ("json-file", {"max-file": "3"}, None),
    ("json-file", {"max-size": "-1"}, None),
    ("json-file", {"max-size": "10k"}, Limits(10 << 10, 1)),
    ("json-file", {"max-size": "1.5M", "max-file": "3"}, Limits(3 << 19, 3)),
    ("json-file", {"max-size": "2mb", "mode": "non-blocking", "max-buffer-size": "4m"}, Limits(2 << 20, 1)),
    ("local", {}, Limits(20 << 20, 5)),
    ("local", {"max-size": "1g", "max-file": "2", "compress": "false"}, Limits(1 << 30, 2)),
    ("none", {}, None),
]
# fmt: on


@pytest.mark.parametrize(("driver", "options", "words"), REFUSED)
def test_what_is_refused(driver: str, options: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        check(LogConfig(type=driver, config=options))


@pytest.mark.parametrize(("driver", "options", "limits"), LIMITS)
def test_how_large_a_log_may_become(driver: str, options: dict[str, str], limits: Limits | None) -> None:
    log = LogConfig(type=driver, config=options)
    check(log)
    assert find_limits(log) == limits


@pytest.mark.parametrize(
    ("options", "details"),
    [
        ({}, ""),
        ({"labels": "a"}, "a=1"),
        ({"labels": "b,a,nope"}, "a=1,b=two%20words"),
        ({"labels-regex": "^b"}, "b=two%20words"),
        ({"env": "E"}, "E=x%3Dy"),
        ({"labels": "a", "env": "E", "tag": "{{.Name}}/{{.ID}}"}, "E=x%3Dy,a=1,tag=web%2F" + "ab" * 6),
    ],
)
def test_details_are_the_labels_and_variables_that_were_named(options: dict[str, str], details: str) -> None:
    record = ContainerRecord(
        id="ab" * 32,
        name="web",
        created=1,
        image="busybox",
        image_id="sha256:" + "cd" * 32,
        config=ContainerConfig(labels={"a": "1", "b": "two words"}),
        host=HostConfig(log_config=LogConfig(type="json-file", config=options)),
        args=("true",),
        env=("E=x=y", "F=z"),
    )
    assert find_details(record) == details
