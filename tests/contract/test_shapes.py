"""The engine's answers hold what the contract says (labdock.api.shapes): every field, with its type."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from labdock.api.shapes import SHAPES, problems

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)\Z")

# method, path, status, the shape's name (and fields beyond it)
ANSWERS = [
    ("GET", "/version", 200, "Version"),
    ("GET", "/info", 200, "Info"),
    ("GET", "/containers/json?all=1", 200, "Containers"),
    ("GET", "/containers/json?all=1&size=1", 200, "Containers [].SizeRootFs:i"),
    ("GET", "/containers/shape/json", 200, "Container"),
    ("GET", "/containers/idle/json", 200, "Container"),
    ("GET", "/containers/shape/json?size=1", 200, "Container SizeRootFs:i"),
    ("GET", "/containers/shape/top", 200, "Top"),
    ("GET", "/images/json", 200, "Images"),
    ("GET", "/images/json?all=1&shared-size=1&manifests=1", 200, "Images [].Manifests[].ImageData.UnpackedSize:i"),
    ("GET", "/images/busybox/json", 200, "Image"),
    ("GET", "/images/busybox/history", 200, "History"),
    ("GET", "/networks", 200, "Networks"),
    ("GET", "/networks/bridge", 200, "Network"),
    ("GET", "/volumes", 200, "Volumes"),
    ("POST", "/volumes/create", 201, "Volume"),
    ("GET", "/volumes/shape", 200, "Volume"),
    ("GET", "/system/df", 200, "DiskUsage"),
    ("POST", "/containers/prune", 200, "PrunedContainers"),
    ("POST", "/images/prune", 200, "PrunedImages"),
    ("POST", "/volumes/prune", 200, "PrunedVolumes"),
    ("POST", "/networks/prune", 200, "PrunedNetworks"),
    ("POST", "/build/prune", 200, "PrunedCache"),
    ("POST", "/containers/shape/exec", 400, "Error"),
    ("POST", "/containers/shape/update", 200, "Warnings"),
    ("GET", "/exec/{exec}/json", 200, "Exec"),
    ("GET", "/containers/nope/json", 404, "Error"),
    ("GET", "/plugins", 200, "Nothing"),
    ("GET", "/labdock/doctor", 200, "Object"),
    ("GET", "/labdock/api", 200, "Object Rows[].Method:s Rows[].Path:s Rows[].Since:s Rows[].Refused:s"),
    ("GET", "/labdock/api?openapi=1", 200, "Object openapi:s paths:d components.schemas:d"),
]


@pytest.fixture
def shaped(http: httpx.Client, clean: None) -> Iterator[dict[str, str]]:
    """A running container `shape` with an exec, a created one `idle`, a volume `shape`."""
    body: dict[str, Any] = {"Image": "busybox", "Cmd": ["sleep", "60"], "HostConfig": {"Binds": ["shape:/v"]}}
    for name in ("shape", "idle"):
        assert http.post(f"/containers/create?name={name}", json=body).status_code == 201
    assert http.post("/containers/shape/start").status_code == 204
    made = http.post("/containers/shape/exec", json={"Cmd": ["true"]}).json()["Id"]
    yield {"exec": made}
    http.delete("/containers/shape?force=1")
    http.delete("/containers/idle?force=1")
    http.delete("/volumes/shape")


@pytest.mark.parametrize(("method", "path", "status", "shape"), ANSWERS, ids=lambda value: str(value)[:40])
def test_answer(http: httpx.Client, shaped: dict[str, str], method: str, path: str, status: int, shape: str) -> None:
    body: dict[str, str] | None = {} if method == "POST" else None
    answer = http.request(method, path.format(**shaped), json=body)
    assert answer.status_code == status, answer.text
    name, *more = shape.split()
    assert not (wrong := problems(answer.json(), " ".join([SHAPES[name], *more]))), "\n".join(wrong)


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/containers/shape/json", "Created"),
        ("/containers/shape/json", "State.StartedAt"),
        ("/containers/shape/json", "State.FinishedAt"),
        ("/containers/idle/json", "State.StartedAt"),
        ("/images/busybox/json", "Created"),
        ("/volumes/shape", "CreatedAt"),
        ("/networks/bridge", "Created"),
        ("/info", "SystemTime"),
    ],
)
def test_times_are_rfc_3339(http: httpx.Client, shaped: dict[str, str], path: str, field: str) -> None:
    value: Any = http.get(path).json()
    for step in field.split("."):
        value = value[step]
    assert TIME.match(value), value


@pytest.mark.parametrize("version", ["v1.24", "v1.40", "v1.51"])
def test_every_answer_carries_what_clients_negotiate_by(http: httpx.Client, version: str) -> None:
    for path in ("/_ping", "/version", "/containers/nope/json"):
        headers = http.get(f"/{version}{path}").headers
        assert headers["api-version"] == "1.51"
        assert headers["ostype"] == "linux"
        assert headers["docker-experimental"] == "false"
        assert headers["server"].startswith("labdock/")
    assert http.head("/_ping").headers["builder-version"] == "1"
