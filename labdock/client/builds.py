"""Builds over the engine's API: Docker's own call, and labdock's, which carries what that one can't."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from labdock.client.caller import Caller, lines, path
from labdock.client.images import TAR, Headers
from labdock.client.parcels import MEDIA_TYPE, Part, encode_parts
from labdock.client.progress import build_events
from labdock.errors import EngineUnreachable, LabdockError
from labdock.schema.build import AnyBuildEvent, BuildDone, BuildFailed

if TYPE_CHECKING:
    from labdock.client.keyring import Keyring


class BuildError(LabdockError):
    """A build that failed; ``failed`` is its last event, which says where."""

    exit_code = 1

    def __init__(self, failed: BuildFailed) -> None:
        super().__init__(failed.message, hint=failed.hint)
        self.failed = failed


PARCEL = (("Content-Type", MEDIA_TYPE),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What Docker's call can't carry; ``if extras`` tells whether there is anything.

    ``contexts``: by name, an address or ``part``/``oci-layout``, whose tar is then among ``parts``. ``agents``:
    sockets of ssh agents by id. ``outputs``: local, tar or oci each. ``cache_to``: min or max each. ``caches``: the
    names of those of ``parts`` that are caches. ``allow``: entitlements.
    """

    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    agents: Mapping[str, str] = field(default_factory=dict)
    contexts: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()
    caches: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    allow: tuple[str, ...] = ()
    explain: bool = False
    check: bool = False
    reproducible: bool = False
    provenance: bool = False

    def __bool__(self) -> bool:
        return bool(self.secrets or self.query())

    def query(self) -> dict[str, object]:
        """The parameters; no secret is among them."""
        asked: dict[str, object] = {
            "contexts": _json(self.contexts),
            "ssh": _json(self.agents),
            "outputs": _json([{"type": kind} for kind in self.outputs]),
            "cacheto": _json([{"type": "local", "mode": mode} for mode in self.cache_to]),
            "cachefromparts": _json(self.caches),
            "allow": _json(self.allow),
            "explain": self.explain,
            "check": self.check,
            "reproducible": self.reproducible,
            "provenance": self.provenance,
        }
        return {name: value for name, value in asked.items() if value}

    def body(self, main: Iterator[bytes] | None) -> Iterator[bytes]:
        """The call's body: secrets first, the context *main* last."""
        parts = [Part("secret", name, (data,)) for name, data in self.secrets.items()]
        parts += self.parts
        if main is not None:
            parts.append(Part("main", "", main))
        return encode_parts(parts)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode() if value else ""


class Builds:
    """Building images. The registries' credentials go along: a build may pull."""

    def __init__(self, caller: Caller, keyring: Keyring | None = None) -> None:
        self._caller = caller
        self._keyring = keyring

    def build(
        self,
        context: Iterator[bytes] | None,
        *,
        remote: str | None = None,
        dockerfile: str | None = None,
        names: tuple[str, ...] = (),
        build_args: Mapping[str, str | None] | None = None,
        labels: Mapping[str, str] | None = None,
        target: str | None = None,
        no_cache: bool = False,
        pull: bool = False,
        network: str | None = None,
        platform: str | None = None,
        hosts: tuple[str, ...] = (),
        shm_size: int = 0,
        cache_from: tuple[str, ...] = (),
        extras: Extras | None = None,
        tick: float | None = None,
    ) -> Iterator[AnyBuildEvent | None]:
        """Send the context (a tar, in parts; None: it is at *remote*) and give what the build says.

        Closing the iterator stops the build. None comes whenever *tick* seconds passed without news. Raises
        InvalidRequest for a Dockerfile that can't be parsed; a build that fails later ends with a BuildFailed event.
        """
        query: dict[str, object] = {
            "labdock": True,
            "remote": remote,
            "dockerfile": dockerfile,
            "t": list(names),
            "buildargs": build_args,
            "labels": labels,
            "target": target,
            "nocache": no_cache,
            "pull": pull,
            "networkmode": network,
            "platform": platform,
            "extrahosts": list(hosts),
            "shmsize": shm_size or None,
            "cachefrom": msgspec.json.encode(cache_from).decode() if cache_from else None,
            "rm": True,
        }
        known = self._registry_config()
        if extras:
            query.update(extras.query())
            answer = self._caller.open("POST", "/labdock/build", query, extras.body(context), headers=PARCEL + known)
        else:
            answer = self._caller.open("POST", "/build", query, context, headers=TAR + known)
        yield from build_events(lines(answer, tick))

    def _registry_config(self) -> Headers:
        known = self._keyring.all() if self._keyring is not None else {}
        if not known:
            return ()
        from labdock.client.credentials import config_header

        return (("X-Registry-Config", config_header(known)),)

    def export(self, token: str) -> Iterator[bytes]:
        """What a build left to be taken (an ``exported`` event's token), a tar in parts; once."""
        with self._caller.open("GET", "/labdock/build/exports" + path(token)) as answer:
            yield from answer.chunks()

    def prune(
        self, *, all: bool = False, keep: int = 0, filters: Mapping[str, list[str]] | None = None
    ) -> tuple[tuple[str, ...], int]:
        """Remove what the step cache keeps, unless it is in use; (ids that went, bytes that are free again)."""
        query = {"all": all, "keep-storage": keep or None, "filters": filters}
        found = self._caller.fetch("/build/prune", query, method="POST")
        return tuple(found.get("CachesDeleted") or ()), int(found.get("SpaceReclaimed") or 0)


def finish(events: Iterable[AnyBuildEvent | None], on_event: Callable[[AnyBuildEvent], None] | None = None) -> str:
    """The id of the image that *events* end with. Raises BuildError, EngineUnreachable when they end without."""
    image = ""
    for event in events:
        if event is None:
            continue
        if on_event is not None:
            on_event(event)
        if isinstance(event, BuildFailed):
            raise BuildError(event)
        if isinstance(event, BuildDone):
            image = event.image
    if not image:
        raise EngineUnreachable(
            "the build's stream ended without an image or an error",
            hint="the engine may have been restarted; `labdock engine logs` shows its last words",
        )
    return image
