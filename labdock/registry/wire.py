"""HTTP over dialled connections: one request, one answer. No redirects, no credentials, no second try here.

aiohttp, whose server the engine has loaded anyway: BaseConnector's ``_create_connection`` is its documented seam for
other ways to connect. Measured beside httpcore with a network backend over the same dial (512 MiB from loopback):
0.21 s of CPU in chunks of 256 KiB against 0.34 s in chunks of 64 KiB, and 18 ms and 3 MiB less to import.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import aiohttp
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from labdock import __version__
from labdock.errors import LabdockError, SystemFailure, Unavailable
from labdock.registry import Dial, hosts
from labdock.registry.credentials import Credentials
from labdock.registry.retry import Again
from labdock.registry.settings import Settings
from labdock.registry.trust import Trust

#: Bytes that are read ahead of who consumes them, per connection.
_AHEAD = 1 << 20
_LONGEST_FIELD = 32 * 1024
_LONGEST_PROXY_ANSWER = 16 * 1024


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds: for a connection (TLS included), for the next bytes of an answer, for a first TLS answer in a probe."""

    connect: float = 30.0
    read: float = 30.0
    probe: float = 5.0


class _Connector(aiohttp.BaseConnector):
    def __init__(self, dial: Dial, trust: Trust, settings: Settings, deadlines: Deadlines) -> None:
        # No limit here: the client has slots, taken in the order of the calls.
        super().__init__(limit=0, keepalive_timeout=20)
        self._dial = dial
        self._trust = trust
        self._settings = settings
        self._deadlines = deadlines

    async def _create_connection(self, req: aiohttp.ClientRequest, traces: Any, timeout: Any) -> ResponseHandler:  # noqa: ASYNC109
        host = req.url.raw_host or ""
        place = _place(req.url)
        async with asyncio.timeout(self._deadlines.connect):
            context = None
            if req.url.scheme == "https":
                context = await self._trust.context(place, verified=not self._settings.may_be_plain(place))
            sock = await self.reach(host, req.url.port or 443, place, tunnel=context is not None)
            return await self.wrap(sock, context, host)

    async def reach(self, host: str, port: int, place: str, *, tunnel: bool) -> socket.socket:
        proxy = self._settings.proxy_for(place) if tunnel else ""
        if not proxy:
            return await self._dial(host, port)
        return await _through(self._dial, proxy, host, port)

    async def wrap(self, sock: socket.socket, context: ssl.SSLContext | None, host: str) -> ResponseHandler:
        try:
            _, protocol = await asyncio.get_running_loop().create_connection(
                self._factory, sock=sock, ssl=context, server_hostname=host if context else None
            )
        except BaseException:
            sock.close()
            raise
        return protocol


def _place(url: URL) -> str:
    """``name[:port]`` as references and ``certs.d`` have it: the scheme's own port is left out."""
    host = url.raw_host or ""
    host = f"[{host}]" if ":" in host else host
    return host if url.is_default_port() else f"{host}:{url.port}"


async def _through(dial: Dial, proxy: str, host: str, port: int) -> socket.socket:
    """A tunnel to *host* through the *proxy*'s CONNECT (RFC 9110 §9.3.6). Raises SystemFailure."""
    address = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if address.scheme != "http" or not address.hostname:
        raise SystemFailure(f"the proxy {proxy} can't be used", hint="HTTPS_PROXY takes http://HOST:PORT")
    sock = await dial(address.hostname, address.port or 8080)
    try:
        loop = asyncio.get_running_loop()
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        login = ""
        if address.username:
            known = Credentials(unquote(address.username), unquote(address.password or ""))
            login = f"Proxy-Authorization: {known.basic}\r\n"
        await loop.sock_sendall(sock, f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{login}\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            # One at a time: what follows belongs to TLS.
            data = await loop.sock_recv(sock, 1)
            answer += data
            if not data or len(answer) > _LONGEST_PROXY_ANSWER:
                break
        status = answer.split(b"\r\n", 1)[0].decode("latin-1")
        if " 200" not in status[:13]:
            raise SystemFailure(f"the proxy {address.hostname} does not connect to {target}: {status or 'no answer'}")
    except BaseException:
        sock.close()
        raise
    return sock


class Wire:
    """Made and used in a running event loop; :meth:`close` ends its connections."""

    def __init__(self, dial: Dial, settings: Settings, deadlines: Deadlines | None = None) -> None:
        self._deadlines = deadlines or Deadlines()
        self._settings = settings
        self._trust = Trust(settings.ca_folders)
        self._dial = dial
        self._connector: _Connector | None = None
        self._session: aiohttp.ClientSession | None = None
        self._schemes: dict[str, str] = {}

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._connector = _Connector(self._dial, self._trust, self._settings, self._deadlines)
            self._session = aiohttp.ClientSession(
                connector=self._connector,
                timeout=aiohttp.ClientTimeout(total=None, sock_read=self._deadlines.read),
                headers={"User-Agent": f"labdock/{__version__}"},
                skip_auto_headers=("Accept-Encoding", "Content-Type"),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                read_bufsize=_AHEAD,
                max_field_size=_LONGEST_FIELD,
            )
        return self._session

    @contextlib.asynccontextmanager
    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: AsyncIterator[bytes] | bytes | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to one request, its body not yet read. Raises Again when the network fails, LabdockError.

        *url* is sent as it is written: a signed one stays what was signed.
        """
        try:
            response = await self._open().request(
                method, URL(url, encoded=True), headers=headers, data=body, allow_redirects=False
            )
        except LabdockError as error:
            if isinstance(error, Unavailable):
                raise Again(_prefixed(method, url, error), most=2) from error
            raise _prefixed(method, url, error) from error
        except FAILURES as error:
            raise explain(method, url, error) from error
        try:
            yield response
        finally:
            response.close()

    async def scheme(self, host: str) -> str:
        """``https``, or ``http`` for a *host* that may be plain and does not speak TLS. Raises what dialling raises."""
        if not self._settings.may_be_plain(host):
            return "https"
        if host not in self._schemes:
            self._schemes[host] = "https" if await self._speaks_tls(host) else "http"
        return self._schemes[host]

    async def _speaks_tls(self, host: str) -> bool:
        name, port = hosts.split(host, 443)
        context = await self._trust.context(host, verified=False)
        try:
            sock = await self._dial(name, port)
        except Unavailable as error:
            if hosts.has_port(host):
                raise _prefixed("GET", f"http://{host}/v2/", error) from error
            # 443 is closed: 80 is left.
            return False
        try:
            async with asyncio.timeout(self._deadlines.probe):
                transport, _ = await asyncio.get_running_loop().create_connection(
                    asyncio.Protocol, sock=sock, ssl=context, server_hostname=name
                )
        except (OSError, TimeoutError):
            sock.close()
            return False
        transport.abort()
        return True


#: What aiohttp, TLS and the system raise when a connection or an answer fails.
FAILURES = (aiohttp.ClientError, OSError, TimeoutError)


#: How OpenSSL calls an answer that is no TLS, in its several versions.
_NO_TLS = frozenset(("WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"))


def explain(method: str, url: str, error: Exception) -> Exception:
    """Again, or the LabdockError that trying again would not change. Query strings (signatures) are left out."""
    # aiohttp's own errors of a connection have what happened as their cause.
    cause = error.__cause__ if isinstance(error, aiohttp.ClientOSError) and error.__cause__ is not None else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        host = urlsplit(url).netloc
        return SystemFailure(
            f"{_request(method, url)}: tls: failed to verify certificate: {cause.verify_message}",
            hint=f"put the CA that signed it into ~/.docker/certs.d/{host}/ca.crt, or list {host} in LABDOCK_INSECURE",
        )
    if isinstance(cause, ssl.SSLError) and _NO_TLS.intersection((cause.reason or "").split()):
        host = urlsplit(url).netloc
        return SystemFailure(
            f"{_request(method, url)}: http: server gave HTTP response to HTTPS client",
            hint=f"a registry without TLS must be listed: LABDOCK_INSECURE={host}",
        )
    if isinstance(error, aiohttp.InvalidURL):
        return SystemFailure(f"{_request(method, url)}: not a usable address")
    if isinstance(error, TimeoutError):
        reason = "nothing came in time (i/o timeout)"
    elif isinstance(cause, aiohttp.ServerDisconnectedError | ConnectionResetError):
        reason = "the connection was cut before an answer came (EOF)"
    elif isinstance(error, aiohttp.ClientResponseError):
        reason = f"malformed HTTP response: {error.message}"
    else:
        reason = str(error) or str(cause) or type(cause).__name__
    return Again(Unavailable(f"{_request(method, url)}: {reason}"))


def _request(method: str, url: str) -> str:
    """As Docker writes it: ``Get "https://host/v2/"``."""
    return f'{method.capitalize()} "{url.partition("?")[0]}"'


def _prefixed(method: str, url: str, error: LabdockError) -> LabdockError:
    return type(error)(f"{_request(method, url)}: {error.message}", hint=error.hint)
