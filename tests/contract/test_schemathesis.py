"""schemathesis reads the engine's own OpenAPI document and asks what it allows: never a 500, never silence."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from docker.transport import UnixHTTPAdapter
from hypothesis import strategies as st

from labdock.api.contract import openapi

from .clients import Engine

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

#: These would ask other machines, serve to them, or wait for ever.
_LEFT_OUT = {
    ("POST", "/auth"), ("GET", "/images/search"), ("GET", "/distribution/{name}/json"), ("GET", "/labdock/manifest"),
    ("PUT", "/labdock/manifest"),
    ("POST", "/images/create"), ("POST", "/images/load"), ("POST", "/images/{name}/push"),
    ("POST", "/labdock/registry"),
    ("POST", "/labdock/images/bootstrap"), ("POST", "/build"), ("POST", "/labdock/build"),
    ("GET", "/containers/{id}/attach/ws"),
}  # fmt: skip
#: What keeps the endless ones short.
_BOUNDS: dict[str, dict[str, Any]] = {
    "/events": {"until": "1"},
    "/containers/{id}/logs": {"follow": False},
    "/containers/{id}/stats": {"stream": False, "one-shot": True},
    "/containers/{id}/attach": {"stream": False},
}
#: Requests for each operation, and where they begin; more of them, elsewhere, when somebody has the time.
EXAMPLES = int(os.environ.get("LABDOCK_TEST_EXAMPLES", "8"))
SEED = int(os.environ.get("LABDOCK_TEST_SEED", "1"))
_NAMES = ["fuzz-idle", "fuzz-ended", "nope", "%2e%2e", "a/b"]


@schemathesis.serializer("application/x-tar")
def write_tar(context: Any, value: Any) -> bytes:
    """What is sent where a tar belongs: mostly none."""
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


SCHEMA = schemathesis.openapi.from_dict(openapi())
OPERATIONS = {
    (each.method.upper(), each.path): each
    for found in SCHEMA.get_all_operations()
    if (each := found.ok()) is not None and (each.method.upper(), each.path) not in _LEFT_OUT  # type: ignore[union-attr]
}


@pytest.fixture
def session(engine: Engine, clean: None) -> Iterator[requests.Session]:
    found = requests.Session()
    found.mount("http://engine/", UnixHTTPAdapter(f"http+unix://{engine.socket}", timeout=30))
    for name in ("fuzz-idle", "fuzz-ended"):
        body = {"Image": "busybox", "Cmd": ["true"]}
        found.post(f"http://engine/containers/create?name={name}", json=body, timeout=30)
    found.post("http://engine/containers/fuzz-ended/start", timeout=30)
    yield found
    found.close()


@pytest.mark.parametrize("operation", OPERATIONS, ids=" ".join)
def test_no_request_that_the_document_allows_is_a_defect(session: requests.Session, operation: tuple[str, str]) -> None:
    strategy = OPERATIONS[operation].as_strategy()
    waits = operation[1].endswith("/wait")

    @hypothesis.seed(SEED)
    @hypothesis.settings(
        max_examples=EXAMPLES, phases=[hypothesis.Phase.generate], suppress_health_check=list(hypothesis.HealthCheck)
    )
    @hypothesis.given(case=strategy, name=st.sampled_from(_NAMES))
    def ask(case: Any, name: str) -> None:
        for key in ("id", "name"):
            if key in (case.path_parameters or {}):
                # A wait for what never started ends when it is started: not here.
                case.path_parameters[key] = "nope" if waits else name
        case.query = {**(case.query or {}), **_BOUNDS.get(operation[1], {})}
        answer = case.call(base_url="http://engine/v1.51", session=session, timeout=30)
        assert answer.status_code < 500 or answer.status_code in (501, 503), f"{answer.status_code} {answer.text}"
        # What is no HTTP is refused before the API sees it: 400, in plain text.
        if answer.status_code > 400 and operation[0] != "HEAD":
            assert answer.json()["message"]

    ask()
