"""Every endpoint of the Docker Engine API v1.51 as data: served, known but not served yet, or a swarm's.

Routes (with and without a version in the path), the 501 and 503 answers and the tests come from these rows.
"""

from __future__ import annotations

from dataclasses import dataclass

from labdock.api.call import Handler, Version
from labdock.api.handlers import (
    builds,
    containers,
    contract,
    files,
    images,
    networks,
    refusals,
    registries,
    registry,
    streams,
    system,
    volumes,
)


@dataclass(frozen=True, slots=True)
class Row:
    """``handler`` None: known, not served yet (501). ``hijacks``: its connection is not used for more requests."""

    method: str
    pattern: str
    handler: Handler | None
    since: Version = (1, 24)
    hijacks: bool = False


_SERVED = (
    Row("GET", "/_ping", system.ping),
    Row("HEAD", "/_ping", system.ping),
    Row("GET", "/version", system.version),
    Row("GET", "/info", system.info),
    Row("GET", "/events", system.events),
    Row("GET", "/system/df", system.df, (1, 25)),
    Row("GET", "/containers/json", containers.list_containers),
    Row("POST", "/containers/create", containers.create),
    Row("POST", "/containers/prune", containers.prune, (1, 25)),
    Row("GET", "/containers/{id}/json", containers.inspect),
    Row("GET", "/containers/{id}/top", containers.top),
    Row("GET", "/containers/{id}/logs", streams.logs),
    Row("GET", "/containers/{id}/changes", files.changes),
    Row("HEAD", "/containers/{id}/archive", files.stat),
    Row("GET", "/containers/{id}/archive", files.archive),
    Row("PUT", "/containers/{id}/archive", files.extract),
    Row("GET", "/containers/{id}/export", files.export),
    Row("POST", "/commit", files.commit),
    Row("GET", "/containers/{id}/stats", streams.stats),
    Row("POST", "/containers/{id}/start", containers.start),
    Row("POST", "/containers/{id}/stop", containers.stop),
    Row("POST", "/containers/{id}/restart", containers.restart),
    Row("POST", "/containers/{id}/kill", containers.kill),
    Row("POST", "/containers/{id}/pause", containers.pause),
    Row("POST", "/containers/{id}/unpause", containers.unpause),
    Row("POST", "/containers/{id}/rename", containers.rename),
    Row("POST", "/containers/{id}/update", containers.update),
    Row("POST", "/containers/{id}/resize", containers.resize),
    Row("POST", "/containers/{id}/wait", streams.wait),
    Row("GET", "/containers/{id}/attach/ws", streams.attach_socket, hijacks=True),
    Row("POST", "/containers/{id}/attach", streams.attach, hijacks=True),
    Row("POST", "/containers/{id}/exec", streams.exec_create),
    Row("DELETE", "/containers/{id}", containers.remove),
    Row("DELETE", "/containers/{id}/{alias...}", containers.remove_link),
    Row("POST", "/exec/{id}/start", streams.exec_start, hijacks=True),
    Row("POST", "/exec/{id}/resize", streams.exec_resize),
    Row("GET", "/exec/{id}/json", streams.exec_inspect),
    Row("GET", "/images/json", images.list_images),
    Row("POST", "/images/create", images.create),
    Row("POST", "/images/load", images.load),
    Row("POST", "/images/prune", images.prune, (1, 25)),
    Row("GET", "/images/get", images.save_many),
    Row("GET", "/images/{name...}/get", images.save_one),
    Row("GET", "/images/{name...}/json", images.inspect),
    Row("GET", "/images/{name...}/history", images.history),
    Row("POST", "/images/{name...}/tag", images.tag),
    Row("POST", "/images/{name...}/push", images.push),
    Row("GET", "/images/search", registries.search),
    Row("POST", "/auth", registries.login),
    Row("GET", "/distribution/{name...}/json", registries.distribution, (1, 30)),
    Row("DELETE", "/images/{name...}", images.remove),
    Row("POST", "/build", builds.build),
    Row("POST", "/build/prune", builds.prune, (1, 31)),
    Row("GET", "/networks", networks.list_networks),
    Row("POST", "/networks/create", networks.create),
    Row("POST", "/networks/prune", networks.prune, (1, 25)),
    Row("GET", "/networks/{id}", networks.inspect),
    Row("DELETE", "/networks/{id}", networks.remove),
    Row("POST", "/networks/{id}/connect", networks.connect),
    Row("POST", "/networks/{id}/disconnect", networks.disconnect),
    Row("GET", "/volumes", volumes.list_volumes),
    Row("POST", "/volumes/create", volumes.create),
    Row("POST", "/volumes/prune", volumes.prune, (1, 25)),
    Row("GET", "/volumes/{name}", volumes.inspect),
    Row("DELETE", "/volumes/{name}", volumes.remove),
    Row("GET", "/plugins", refusals.list_plugins, (1, 25)),
)

_EXTRAS = (
    Row("GET", "/labdock/api", contract.show),
    Row("POST", "/labdock/build", builds.build_parts),
    Row("GET", "/labdock/build/exports/{token}", builds.export),
    Row("GET", "/labdock/containers/{id}/explain", system.explain),
    Row("GET", "/labdock/containers/{id}/files", files.list_folder),
    Row("POST", "/labdock/containers/{id}/ports/{port}", streams.dial, hijacks=True),
    Row("GET", "/labdock/doctor", system.doctor),
    Row("POST", "/labdock/exec/{id}/kill", system.kill_exec),
    Row("POST", "/labdock/images/bootstrap", system.bootstrap),
    Row("GET", "/labdock/manifest", registries.manifest),
    Row("PUT", "/labdock/manifest", registries.put_manifest),
    Row("GET", "/labdock/registry", registry.status),
    Row("POST", "/labdock/registry", registry.serve),
    Row("DELETE", "/labdock/registry", registry.stop),
    Row("GET", "/labdock/volumes/{name}/tar", volumes.export),
    Row("PUT", "/labdock/volumes/{name}/tar", volumes.take),
)

_UNSERVED = ("POST /build/cancel",)

#: Managed plugins: there are none, and none can be installed.
_PLUGINS = (
    *(Row(method, "/plugins/{name...}" + end, refusals.no_such_plugin, (1, 25)) for method, end in (
        ("GET", "/json"), ("DELETE", ""), ("POST", "/enable"), ("POST", "/disable"), ("POST", "/upgrade"),
        ("POST", "/push"), ("POST", "/set"),
    )),
    *(Row(method, path, refusals.plugins, (1, 25)) for method, path in (
        ("GET", "/plugins/privileges"), ("POST", "/plugins/pull"), ("POST", "/plugins/create"),
    )),
)  # fmt: skip

_BUILDKIT = (Row("POST", "/session", refusals.buildkit), Row("POST", "/grpc", refusals.buildkit))

#: An engine without a swarm answers these by 503, and clients count on that (`POST /swarm/leave` in clean-ups).
_SWARM = (
    "GET /swarm",
    "POST /swarm/init",
    "POST /swarm/join",
    "POST /swarm/leave",
    "POST /swarm/update",
    "GET /swarm/unlockkey",
    "POST /swarm/unlock",
    "GET /nodes",
    "GET /nodes/{id}",
    "DELETE /nodes/{id}",
    "POST /nodes/{id}/update",
    "GET /services",
    "POST /services/create",
    "GET /services/{id}",
    "DELETE /services/{id}",
    "POST /services/{id}/update",
    "GET /services/{id}/logs",
    "GET /tasks",
    "GET /tasks/{id}",
    "GET /tasks/{id}/logs",
    "GET /secrets",
    "POST /secrets/create",
    "GET /secrets/{id}",
    "DELETE /secrets/{id}",
    "POST /secrets/{id}/update",
    "GET /configs",
    "POST /configs/create",
    "GET /configs/{id}",
    "DELETE /configs/{id}",
    "POST /configs/{id}/update",
    # Only a swarm's cluster volumes can be updated.
    "PUT /volumes/{name}",
)


def _rows(lines: tuple[str, ...], handler: Handler | None) -> tuple[Row, ...]:
    found = []
    for line in lines:
        method, pattern = line.split(" ")
        found.append(Row(method, pattern, handler))
    return tuple(found)


ROWS: tuple[Row, ...] = (
    *_SERVED,
    *_EXTRAS,
    *_PLUGINS,
    *_BUILDKIT,
    *_rows(_UNSERVED, None),
    *_rows(_SWARM, refusals.swarm),
)
