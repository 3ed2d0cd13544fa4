"""Answers to challenges: Basic, and Bearer tokens that are fetched, kept until they expire and fetched again.

https://distribution.github.io/distribution/spec/auth/token/ and …/oauth/. A realm is trusted as far as the
registry that names it; name and password leave this process only over TLS, or to a host that may be plain.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from labdock.errors import LabdockError, SystemFailure, Unauthorized
from labdock.registry import challenge, hosts
from labdock.registry.credentials import Credentials, Keychain
from labdock.registry.places import Place
from labdock.registry.retry import Clock
from labdock.registry.settings import Settings

CLIENT_ID = "labdock"
#: Seconds that a token is good for when nobody says (the specification's own default), and the least believed.
DEFAULT_LIFE = 60.0
#: Seconds before its end at which a token is not used any more; of short lives a tenth.
_MARGIN = 10.0

#: One request to a token server: (method, url, authorization or "", form or None) → body. Raises LabdockError.
Ask = Callable[[str, str, str, bytes | None], Awaitable[bytes]]


class _Answer(msgspec.Struct):
    token: str = ""
    access_token: str = ""
    expires_in: float | None = None
    refresh_token: str = ""


@dataclass(frozen=True, slots=True)
class Token:
    value: str
    expires: float
    refresh: str = ""


@dataclass(slots=True)
class _Known:
    """What is known of one place: its last challenge, tokens by the scopes they were asked for."""

    asked: challenge.Challenge
    tokens: dict[tuple[str, ...], Token]
    lock: asyncio.Lock


class Authorizer:
    """One per client. Tokens of one place are fetched one at a time: who comes second finds it there."""

    def __init__(self, ask: Ask, keychain: Keychain, settings: Settings, clock: Clock) -> None:
        self._ask = ask
        self._keychain = keychain
        self._settings = settings
        self._clock = clock
        self._known: dict[str, _Known] = {}

    async def authorize(self, place: Place, scopes: Sequence[str]) -> str:
        """The Authorization header for a request to *place*, "" as long as it asked for none."""
        credentials = self._keychain.find(place.host)
        if credentials is not None and credentials.registry_token:
            return f"Bearer {credentials.registry_token}"
        known = self._known.get(place.root)
        if known is None:
            return ""
        if known.asked.scheme == "basic":
            return self._basic(place, credentials)
        async with known.lock:
            wanted = tuple(scopes)
            token = known.tokens.get(wanted)
            if token is None or token.expires <= self._clock.now():
                token = await self._fetch(known.asked, wanted, credentials)
                known.tokens[wanted] = token
            return f"Bearer {token.value}"

    def challenged(self, place: Place, headers: Sequence[str], sent: str, scopes: Sequence[str]) -> bool:
        """*place* refused a request that had the Authorization *sent*: whether another try has better chances."""
        asked = challenge.choose(challenge.parse(headers))
        if asked is None:
            return False
        if asked.scheme == "basic":
            if self._known.get(place.root) is not None and sent.startswith("Basic "):
                return False
            self._require_safe(place.root, "the registry")
        known = self._known.get(place.root)
        if known is None:
            self._known[place.root] = _Known(asked, {}, asyncio.Lock())
            return True
        known.asked = asked
        token = known.tokens.get(tuple(scopes))
        if token is not None and sent == f"Bearer {token.value}":
            del known.tokens[tuple(scopes)]
        return True

    async def buy(self, place: Place, scopes: Sequence[str]) -> Token | None:
        """For a login: a token of *place*, with one for later when its server gives such; None without Bearer."""
        known = self._known.get(place.root)
        if known is None or known.asked.scheme != "bearer":
            return None
        return await self._fetch(known.asked, tuple(scopes), self._keychain.find(place.host), offline=True)

    def _basic(self, place: Place, credentials: Credentials | None) -> str:
        if credentials is None or not credentials.basic:
            raise Unauthorized(
                f"{place.host}: no basic auth credentials", hint=f"`labdock login {place.host}`, then try again"
            )
        return credentials.basic

    def _require_safe(self, url: str, whose: str) -> None:
        parts = hosts.parse_url(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and self._settings.may_be_plain(parts.netloc)):
            raise SystemFailure(
                f"{whose} at {parts.scheme}://{parts.netloc} asks for credentials without TLS",
                hint=f"if that is meant so: LABDOCK_INSECURE={parts.netloc}",
            )

    async def _fetch(
        self,
        asked: challenge.Challenge,
        scopes: tuple[str, ...],
        credentials: Credentials | None,
        *,
        offline: bool = False,
    ) -> Token:
        realm = asked.parameters["realm"]
        self._require_safe(realm, "the token server")
        wanted = tuple(dict.fromkeys((*scopes, *asked.scopes)))
        service = asked.parameters.get("service", "")
        now = self._clock.now()
        if credentials is not None and credentials.identity_token:
            form = {"grant_type": "refresh_token", "service": service, "client_id": CLIENT_ID}
            form |= {"scope": " ".join(wanted), "refresh_token": credentials.identity_token}
            body = await self._ask("POST", realm, "", urlencode(form).encode())
        else:
            query: list[tuple[str, str]] = [("service", service)] if service else []
            query += [("scope", scope) for scope in wanted]
            if credentials is not None and credentials.username:
                query.append(("account", credentials.username))
            if offline:
                query += [("offline_token", "true"), ("client_id", CLIENT_ID)]
            basic = credentials.basic if credentials is not None else ""
            body = await self._ask("GET", _extend(realm, query), basic, None)
        return read_token(body, realm, now)


def _extend(realm: str, query: Sequence[tuple[str, str]]) -> str:
    parts = urlsplit(realm)
    return urlunsplit(parts._replace(query=urlencode([*parse_qsl(parts.query), *query]), fragment=""))


def read_token(body: bytes, realm: str, now: float) -> Token:
    """The token in a server's answer; its time runs from *now*. Raises SystemFailure when there is none."""
    try:
        answer = msgspec.json.decode(body, type=_Answer, strict=False)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise SystemFailure(f"the token server {realm} does not answer with a token: {error}") from error
    value = answer.token or answer.access_token
    if not value or any(not 32 < ord(letter) < 127 for letter in value):
        raise SystemFailure(f"the token server {realm} answered without a token that can be sent")
    life = max(answer.expires_in or DEFAULT_LIFE, DEFAULT_LIFE)
    return Token(value, now + life - min(_MARGIN, life / 10), answer.refresh_token)


def refused(error: LabdockError, headers: Mapping[str, str]) -> LabdockError:
    """*error* of a token server, as the failed login that it is."""
    if error.status in (400, 401, 403):
        return Unauthorized(error.message, hint=error.hint or "is the password right, or the login too old?")
    return error
