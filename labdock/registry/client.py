"""The client of registries: what a pull, a push, a login and a search ask for."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from labdock.errors import Corrupt, Forbidden, LabdockError, NotFound, SystemFailure, Unauthorized
from labdock.registry import Dial, Fetched, Found, Progress, Repository, Source, hosts, listing
from labdock.registry.credentials import Credentials, Keychain
from labdock.registry.download import Download
from labdock.registry.exchange import Exchange, Request
from labdock.registry.places import Place, Places
from labdock.registry.retry import Clock, Policy, SystemClock
from labdock.registry.settings import Settings
from labdock.registry.upload import Upload
from labdock.registry.wire import Deadlines, Wire
from labdock.schema import oci
from labdock.schema.oci import Descriptor

T = TypeVar("T")

#: Bytes of the largest manifest (distribution-spec: at least this must be taken).
LONGEST_MANIFEST = 4 * 1024 * 1024
#: Blobs that are on the wire at a time.
AT_ONCE = 6
ACCEPTED = (oci.INDEX, oci.DOCKER_INDEX, oci.MANIFEST, oci.DOCKER_MANIFEST)

log = logging.getLogger(__name__)


class _Typed(msgspec.Struct, rename="camel"):
    media_type: str = ""


class RegistryClient:
    """One user's view of all registries: made for one piece of work, in a running event loop, closed after it.

    ``async with RegistryClient(outside.dial, settings=…, keychain=…) as client``. All calls may run side by side.
    Each ends within bounds that are multiples of *deadlines* and *policy*, whatever the other side does.
    """

    def __init__(
        self,
        dial: Dial,
        *,
        settings: Settings | None = None,
        keychain: Keychain | None = None,
        clock: Clock | None = None,
        policy: Policy | None = None,
        deadlines: Deadlines | None = None,
    ) -> None:
        settings = settings or Settings()
        self._clock = clock or SystemClock()
        self._dial = dial
        self._settings = settings
        self._policy = policy or Policy()
        self._deadlines = deadlines or Deadlines()
        self._keychain = keychain or Keychain()
        self._wire = Wire(dial, settings, self._deadlines)
        self._places = Places(self._wire, settings)
        self._exchange = Exchange(self._wire, self._keychain, settings, self._clock, self._policy)
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._served: dict[str, Place] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._wire.close()

    # -- pulling

    async def manifest(self, repository: Repository, reference: str, accept: tuple[str, ...] = ACCEPTED) -> Fetched:
        """The manifest or index that *reference* (a tag or a digest) names, as it is; its digest was checked.

        Raises NotFound in Docker's words ("manifest unknown", "pull access denied"), RateLimited, Corrupt, Unavailable.
        """

        async def fetch(place: Place) -> Fetched:
            return await self._fetch_manifest(place, repository, reference, accept)

        return await self._somewhere(repository.host, fetch, lambda error: _denied(repository, reference, error))

    async def _fetch_manifest(
        self, place: Place, repository: Repository, reference: str, accept: tuple[str, ...]
    ) -> Fetched:
        request = Request(
            "GET",
            place.url(repository, f"manifests/{reference}"),
            (place.scope(repository),),
            {"Accept": ", ".join(accept)},
        )
        response, body = await self._exchange.fetch(place, request, LONGEST_MANIFEST)
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        said = response.headers.get("Docker-Content-Digest", "")
        for expected in (reference if ":" in reference else "", said):
            if expected.startswith("sha256:") and expected != digest:
                raise Corrupt(
                    f"{request.name}: the manifest is {digest}, not {expected}",
                    hint="the registry, or a proxy in between, is at fault",
                )
        try:
            typed = msgspec.json.decode(body, type=_Typed).media_type
        except (msgspec.MsgspecError, RecursionError) as error:
            raise Corrupt(f"{request.name}: the manifest is no JSON object: {error}") from error
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        return Fetched(body, typed or kind, digest)

    async def resolve(self, repository: Repository, reference: str, accept: tuple[str, ...] = ACCEPTED) -> str:
        """The digest that *reference* has on the registry itself, "" when it does not say.

        Asked by HEAD, which Docker Hub does not count. Raises as :meth:`manifest`.
        """
        place = await self._places.origin(repository.host)
        request = Request(
            "HEAD",
            place.url(repository, f"manifests/{reference}"),
            (place.scope(repository),),
            {"Accept": ", ".join(accept)},
        )
        try:
            async with self._exchange.send(place, request) as response:
                return response.headers.get("Docker-Content-Digest", "")
        except LabdockError as error:
            raise _denied(repository, reference, error) from error

    async def blob(
        self, repository: Repository, blob: Descriptor, offset: int = 0, *, verify: bool = True
    ) -> AsyncIterator[bytes]:
        """The bytes of *blob* from *offset*, in pieces of at most 1 MiB, one of AT_ONCE at a time.

        Broken connections are gone on with by Range, here; never more bytes than the descriptor says are given.
        Who computes the digest anyway passes ``verify=False``, and on a wrong one calls :meth:`reject` and begins
        anew. Raises Corrupt at the end for a wrong digest, NotFound, RateLimited, Unavailable.
        """
        async with self._slots:
            download = Download(self._exchange, repository, blob, self._note_failure)
            stream = download.read(self._ways(repository.host), offset, verify=verify)
            try:
                async for data in stream:
                    yield data
                if download.place is not None:
                    self._served[blob.digest] = download.place
            except Corrupt:
                if download.place is not None and download.place.mirror:
                    self._drop(download.place)
                raise
            finally:
                await stream.aclose()

    def _note_failure(self, place: Place, error: LabdockError) -> None:
        """A mirror that is down is not asked for the next thing; one that has not got this one may be."""
        log.info("the mirror %s does not help: %s", place.root, error)
        if error.status >= 500:
            self._places.drop(place.root.split("/")[2])

    def reject(self, blob: Descriptor) -> None:
        """The bytes of *blob* were not its own: a mirror that gave them is asked no more."""
        place = self._served.pop(blob.digest, None)
        if place is not None and place.mirror:
            self._drop(place)

    def _drop(self, place: Place) -> None:
        log.warning("the mirror %s gives wrong bytes and is asked no more", place.root)
        self._places.drop(place.root.split("/")[2])

    async def _ways(self, host: str) -> AsyncIterator[Place]:
        for mirror in self._places.mirrors(host):
            try:
                place = await self._places.mirror(mirror)
            except LabdockError as error:
                log.warning("the mirror %s of %s is left out: %s", mirror.host, host, error)
                self._places.drop(mirror.host)
                continue
            yield place
        yield await self._places.origin(host)

    async def _somewhere(
        self, host: str, ask: Callable[[Place], Awaitable[T]], reword: Callable[[LabdockError], LabdockError]
    ) -> T:
        """What the first place answers; the registry's own error when no mirror has it either."""
        async for place in self._ways(host):
            try:
                return await ask(place)
            except LabdockError as error:
                if not place.mirror:
                    raise reword(error) from error
                self._note_failure(place, error)
        raise AssertionError("unreachable")

    # -- pushing

    async def blob_exists(self, repository: Repository, blob: Descriptor) -> bool:
        """Whether the registry itself has *blob*, for somebody who may push there."""
        place = await self._places.origin(repository.host)
        with _pushing(repository):
            return await Upload(self._exchange, place, repository, blob).exists()

    async def upload_blob(
        self,
        repository: Repository,
        blob: Descriptor,
        source: Source,
        mount_from: Repository | None = None,
        on_progress: Progress = lambda sent: None,
    ) -> bool:
        """Send *blob*; False when it was mounted from *mount_from* (of the same host) instead.

        It is sent whole; after a break from the beginning again. Raises Forbidden ("denied: requested access to the
        resource is denied"), Corrupt (the registry, or *source*, has other bytes), Unavailable.
        """
        place = await self._places.origin(repository.host)
        neighbour = mount_from if mount_from is not None and mount_from.host == repository.host else None
        async with self._slots:
            with _pushing(repository):
                return await Upload(self._exchange, place, repository, blob).run(source, neighbour, on_progress)

    async def put_manifest(self, repository: Repository, reference: str, body: bytes, media_type: str) -> str:
        """Put *body* under *reference* (a tag or its digest); gives its digest. Raises as :meth:`upload_blob`."""
        place = await self._places.origin(repository.host)
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        request = Request(
            "PUT",
            place.url(repository, f"manifests/{reference}"),
            (place.scope(repository, "pull,push"),),
            {"Content-Type": media_type},
            body,
            frozenset((200, 201, 202)),
        )
        with _pushing(repository):
            async with self._exchange.send(place, request) as response:
                said = response.headers.get("Docker-Content-Digest", digest)
        if said.startswith("sha256:") and said != digest:
            raise Corrupt(f"{request.name}: the registry has the manifest as {said}, it was sent as {digest}")
        return digest

    # -- looking around

    async def tags(self, repository: Repository) -> tuple[str, ...]:
        """All tags, in the registry's order; a mirror's when the registry can't be reached. Raises NotFound."""
        place = await self._places.origin(repository.host)
        try:
            return await listing.tags(self._exchange, place, repository)
        except NotFound as error:
            raise _denied(repository, "", error) from error
        except LabdockError as error:
            # A mirror may have only some of them: it is asked last.
            async for other in self._ways(repository.host):
                if other.mirror:
                    with contextlib.suppress(LabdockError):
                        return await listing.tags(self._exchange, other, repository)
            raise _denied(repository, "", error) from error

    async def check_login(self, server: str, credentials: Credentials) -> str:
        """Whether *credentials* are good at *server*; gives an identity token to keep instead of the password, or "".

        Raises Unauthorized ("unauthorized: incorrect username or password").
        """
        host = hosts.normalize(server)
        keychain = Keychain({host: credentials})
        exchange = Exchange(self._wire, keychain, self._settings, self._clock, self._policy)
        place = await self._places.origin(host)
        request = Request("GET", place.root)
        try:
            async with exchange.send(place, request):
                pass
            bought = await exchange.auth.buy(place, ())
        except (Unauthorized, Forbidden) as error:
            raise Unauthorized(f"Get {place.root!r}: {error.message}", hint=error.hint) from error
        except NotFound as error:
            raise SystemFailure(f"{place.root}: is no registry: {error.message}") from error
        return bought.refresh if bought is not None else ""

    async def search(self, server: str, term: str, limit: int = 25) -> tuple[Found, ...]:
        """Images at *server* ("" = Docker Hub) whose name or description has *term*, at most *limit* (1–100)."""
        host = hosts.normalize(server)
        place = await self._places.origin(host)
        return await listing.search(self._exchange, place, term, limit)


def _denied(repository: Repository, reference: str, error: LabdockError) -> LabdockError:
    """What Docker says when an image can't be had: clients match on these words."""
    name = repository.familiar
    if isinstance(error, Unauthorized | Forbidden):
        return NotFound(
            f"pull access denied for {name}, repository does not exist or may require 'docker login':"
            f" {_after_code(error.message)}",
            hint=error.hint or f"is the name right? A private one needs `labdock login {repository.host}`",
        )
    if isinstance(error, NotFound) and reference:
        separator = "@" if ":" in reference else ":"
        return NotFound(f"manifest for {name}{separator}{reference} not found: {error.message}", hint=error.hint)
    return error


def _after_code(message: str) -> str:
    return message if message.startswith(("denied", "unauthorized")) else f"denied: {message}"


@contextlib.contextmanager
def _pushing(repository: Repository) -> Iterator[None]:
    try:
        yield
    except (Unauthorized, Forbidden) as error:
        raise type(error)(
            _after_code(error.message),
            hint=error.hint or f"may you push to {repository}? `labdock login {repository.host}` says who you are",
        ) from error
