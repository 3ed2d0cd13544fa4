"""Builds and pulls as they speak: labdock's events, Docker's lines."""

from __future__ import annotations

import pytest

from labdock.client.progress import build_events, job_lines
from labdock.errors import EngineUnreachable, NotFound, RateLimited, SystemFailure, Unauthorized
from labdock.schema.build import (
    BuildDone,
    BuildFailed,
    StepCached,
    StepDone,
    StepOutput,
    StepRunning,
    StepStarted,
)


def test_labdocks_own_events() -> None:
    lines = [
        b'{"event":"started","step":1,"total":2,"text":"FROM busybox","line":1}',
        b"",
        b'{"event":"cached","step":1}',
        b'{"event":"built","image":"sha256:1","names":["a:1"],"seconds":0.5}',
    ]
    assert list(build_events(lines)) == [
        StepStarted(step=1, total=2, text="FROM busybox", line=1),
        None,
        StepCached(step=1),
        BuildDone(image="sha256:1", names=("a:1",), seconds=0.5),
    ]


def test_the_classic_builders_words() -> None:
    lines = [
        b'{"stream":"Step 1/2 : FROM busybox"}',
        b'{"stream":"\\n"}',
        b'{"stream":" ---\\u003e Using cache\\n"}',
        b'{"stream":" ---\\u003e abc\\n"}',
        b'{"stream":"Step 2/2 : RUN x"}',
        b'{"stream":" ---\\u003e Running in c1\\n"}',
        b'{"stream":"hello\\n"}',
        b'{"aux":{"ID":"sha256:2"}}',
        b'{"stream":"Successfully built 2\\n"}',
        b'{"stream":"Successfully tagged a:latest\\n"}',
    ]
    assert list(build_events(lines)) == [
        StepStarted(step=1, total=2, text="FROM busybox", line=0),
        StepCached(step=1),
        StepDone(step=1, state="abc", seconds=0.0),
        StepStarted(step=2, total=2, text="RUN x", line=0),
        StepRunning(step=2, container="c1"),
        StepOutput(step=2, stream="stdout", text="hello\n"),
        BuildDone(image="sha256:2", names=("a:latest",)),
    ]


def test_a_classic_failure() -> None:
    lines = [b'{"stream":"Step 1/1 : RUN x"}', b'{"errorDetail":{"code":7,"message":"it failed"},"error":"it failed"}']
    assert list(build_events(lines))[-1] == BuildFailed(message="it failed", step=1, exit_code=7)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b'{"error":"pull access denied for x, repository does not exist"}', NotFound),
        (b'{"errorDetail":{"message":"disk full","hint":"make room"},"error":"disk full"}', SystemFailure),
        (b'{"error":"toomanyrequests: You have reached your pull rate limit"}', RateLimited),
        (b'{"error":"denied: r.example: no basic auth credentials"}', Unauthorized),
        (b'{"error":"dial tcp: lookup r.example: no such host"}', SystemFailure),
        (b"not json", EngineUnreachable),
    ],
)
def test_a_jobs_failure_is_raised(line: bytes, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        list(job_lines([b'{"status":"Pulling"}', line]))
