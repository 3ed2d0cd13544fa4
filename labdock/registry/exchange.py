"""A request until it is answered: with credentials, along redirects, again after a pause.

Credentials go to the place they are for and are left behind at the first redirect to another host, for good.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import aiohttp

from labdock.errors import LabdockError, SystemFailure, Unavailable
from labdock.registry import Source, failures, hosts
from labdock.registry.auth import Authorizer, refused
from labdock.registry.credentials import Keychain
from labdock.registry.places import Place
from labdock.registry.retry import Again, Attempts, Clock, Policy
from labdock.registry.settings import Settings
from labdock.registry.wire import FAILURES, Wire, explain

MOST_REDIRECTS = 5
#: Rounds of "401, here is who I am" for one attempt: one to learn the challenge, one when a token was too old.
MOST_ROUNDS = 3
#: Bytes of a token server's answer.
_LONGEST_TOKEN = 1 << 20
#: Seconds for a whole answer that is read into memory (a stall ends it earlier).
WHOLE = 60.0
_REDIRECTS = frozenset((301, 302, 303, 307, 308))


@dataclass(frozen=True, slots=True)
class Request:
    """``expect``: the statuses that are an answer; any other is an error. ``scopes``: what a token must allow."""

    method: str
    url: str
    scopes: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Source | bytes | None = None
    expect: frozenset[int] = frozenset((200,))

    @property
    def name(self) -> str:
        """As Docker writes it in errors."""
        return f'{self.method.capitalize()} "{self.url.partition("?")[0]}"'


class Exchange:
    def __init__(self, wire: Wire, keychain: Keychain, settings: Settings, clock: Clock, policy: Policy) -> None:
        self._wire = wire
        self._settings = settings
        self._clock = clock
        self._policy = policy
        self.auth = Authorizer(self._ask, keychain, settings, clock)

    def attempts(self, place: Place | None = None) -> Attempts:
        """For one thing; a mirror gets fewer, as there is somebody else to ask."""
        policy = self._policy
        if place is not None and place.mirror:
            policy = Policy(min(2, policy.attempts), policy.first, policy.longest, patience=1.0)
        return Attempts(self._clock, policy)

    @contextlib.asynccontextmanager
    async def send(self, place: Place, request: Request) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to *request*, with one of the statuses it expects. Raises LabdockError in the end."""
        attempts = self.attempts(place)
        while True:
            async with contextlib.AsyncExitStack() as stack:
                try:
                    response = await stack.enter_async_context(self.once(place, request))
                except Again as again:
                    failed = again
                else:
                    yield response
                    return
            await attempts.failed(failed)

    async def fetch(self, place: Place, request: Request, longest: int) -> tuple[aiohttp.ClientResponse, bytes]:
        """:meth:`send`, and the whole body of at most *longest* bytes, in one attempt after the other."""
        attempts = self.attempts(place)
        while True:
            try:
                async with self.once(place, request) as response:
                    return response, await read(response, longest, request)
            except Again as again:
                await attempts.failed(again)

    @contextlib.asynccontextmanager
    async def once(self, place: Place, request: Request) -> AsyncIterator[aiohttp.ClientResponse]:
        """One attempt. Raises Again or LabdockError."""
        for left in reversed(range(MOST_ROUNDS)):
            # An upload may have been sent elsewhere: what the place trusts us with stays there.
            home = hosts.origin_of(request.url) == hosts.origin_of(place.root)
            sent = await self.auth.authorize(place, request.scopes) if home else ""
            async with self._follow(request, sent) as response:
                status, headers = response.status, response.headers
                if status in request.expect:
                    yield response
                    return
                asking = response.headers.getall("WWW-Authenticate", [])
                home = hosts.origin_of(str(response.url)) == hosts.origin_of(place.root)
                said = b"" if request.method == "HEAD" else await _read_some(response, failures.LONGEST)
            if status == 401 and left and home and self.auth.challenged(place, asking, sent, request.scopes):
                continue
            now = self._clock.now()
            error = failures.explain(request.name, status, headers, said, now)
            raise failures.passing(error, status, headers, now)
        raise AssertionError("unreachable")

    @contextlib.asynccontextmanager
    async def _follow(self, request: Request, authorization: str) -> AsyncIterator[aiohttp.ClientResponse]:
        url, origin = request.url, hosts.origin_of(request.url)
        for _ in range(MOST_REDIRECTS + 1):
            headers = {"Accept-Encoding": "identity", **request.headers}
            if authorization:
                headers["Authorization"] = authorization
            body = request.body() if callable(request.body) else request.body
            async with self._wire.send(request.method, url, headers, body) as response:
                location = response.headers.get("Location")
                if response.status not in _REDIRECTS or request.method not in ("GET", "HEAD") or not location:
                    yield response
                    return
            url = self.redirect(request, url, location)
            if hosts.origin_of(url) != origin:
                authorization = ""
        raise SystemFailure(
            f"{request.name}: stopped after {MOST_REDIRECTS} redirects, at {url.partition('?')[0]}",
            hint="the registry sends in circles: is its address right?",
        )

    def redirect(self, request: Request, url: str, location: str) -> str:
        """Where *location* in the answer from *url* leads. Raises SystemFailure for where nobody should be sent."""
        target = hosts.join_url(url, location)
        before, after = hosts.parse_url(url), hosts.parse_url(target)
        reason = ""
        if after.scheme == "http" and before.scheme == "https" and not self._settings.may_be_plain(after.netloc):
            reason = "which has no TLS"
        elif hosts.is_loopback(after.netloc) and not hosts.is_loopback(before.netloc):
            reason = "which is this machine itself"
        if reason:
            shown = target.partition("?")[0][:200]
            raise SystemFailure(f"{request.name}: refused to follow a redirect to {shown!r}, {reason}")
        return target

    async def _ask(self, method: str, url: str, authorization: str, form: bytes | None) -> bytes:
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if form is not None else {}
        request = Request(method, url, (), headers, form)
        attempts = self.attempts()
        while True:
            try:
                async with self._follow(request, authorization) as response:
                    if response.status == 200:
                        return await read(response, _LONGEST_TOKEN, request)
                    status, answered = response.status, response.headers
                    said = await _read_some(response, failures.LONGEST)
                now = self._clock.now()
                error = refused(failures.explain(request.name, status, answered, said, now), answered)
                raise failures.passing(error, status, answered, now)
            except Again as again:
                await attempts.failed(again)


async def read(response: aiohttp.ClientResponse, longest: int, request: Request) -> bytes:
    """The whole body. Raises SystemFailure when it is longer than *longest*, Again when it breaks off."""
    body = bytearray()
    try:
        async with asyncio.timeout(WHOLE):
            async for data in response.content.iter_any():
                body += data
                if len(body) > longest:
                    raise SystemFailure(f"{request.name}: the answer is longer than {longest} bytes")
    except LabdockError:
        raise
    except TimeoutError as error:
        raise Again(Unavailable(f"{request.name}: the answer did not come in time (i/o timeout)")) from error
    except FAILURES as error:
        raise explain(request.method, request.url, error) from error
    return bytes(body)


async def _read_some(response: aiohttp.ClientResponse, most: int) -> bytes:
    """The beginning of an error's body; what can't be read is not missed."""
    body = bytearray()
    with contextlib.suppress(*FAILURES):
        async with asyncio.timeout(WHOLE / 10):
            while len(body) < most and (data := await response.content.read(most - len(body))):
                body += data
    return bytes(body)
