"""What builds fetch: files over HTTP and git repositories, through connections that outer makes in the host's network.

git is the user's own program. It reaches its server through a proxy of the engine's that only it knows the password of.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from labdock.build.dockerfile.remotes import GitSource
from labdock.build.sources import FetchRecord
from labdock.engine.tunnels import Dial, Tunnel, find_proxy, open_stream, serve_proxy
from labdock.errors import InvalidRequest, LabdockError, NotFound, SystemFailure, Unavailable, Unsupported

if TYPE_CHECKING:
    import ssl

_MOST_REDIRECTS = 10
_MOST_HEADERS = 200
_PIECE = 256 << 10
#: Seconds without a byte until a server counts as gone; and for one run of git.
_PATIENCE = 60.0
_GIT_PATIENCE = 900.0
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
_NAME = re.compile(r'filename="?([^";]+)"?')


class Fetches:
    """A build's Fetcher. *dial* gives a connected socket to a host and port."""

    def __init__(self, dial: Dial, environment: Mapping[str, str] | None = None) -> None:
        self._dial = dial
        self._environment = os.environ if environment is None else environment

    # -- HTTP -----------------------------------------------------------------------------------------

    async def fetch(self, url: str, into: Path, known: FetchRecord | None = None) -> FetchRecord | None:
        """See :class:`labdock.build.sources.Fetcher`. Raises NotFound, Unavailable, SystemFailure, InvalidRequest."""
        for _ in range(_MOST_REDIRECTS):
            answer = await self._ask(url, known)
            try:
                if answer.status in (301, 302, 303, 307, 308) and answer.headers.get("location"):
                    url = urljoin(url, answer.headers["location"])
                    continue
                if answer.status == 304 and known is not None:
                    return None
                if answer.status != 200:
                    kind = NotFound if answer.status in (404, 410) else Unavailable
                    raise kind(f"fetching {url}: the server answered {answer.status} {answer.reason}")
                return await _save(answer, into)
            except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError) as error:
                raise Unavailable(f"fetching {url}: {error or 'no answer in time'}") from error
            finally:
                answer.stream.close()
        raise Unavailable(f"fetching {url}: more than {_MOST_REDIRECTS} redirects")

    async def _ask(self, url: str, known: FetchRecord | None) -> _Answer:
        parts = _split(url)
        secure = parts.scheme == "https"
        proxy = find_proxy(parts.scheme, parts.hostname or "", self._environment)
        stream: Tunnel | None = None
        answer: _Answer | None = None
        try:
            async with asyncio.timeout(_PATIENCE):
                stream = await open_stream(self._dial, parts, proxy, _tls() if secure else None)
                target = url.partition("#")[0] if proxy and not secure else _target(parts)
                lines = [f"GET {target} HTTP/1.1", f"Host: {parts.netloc.rpartition('@')[2]}", "Connection: close"]
                lines += ["User-Agent: labdock", "Accept: */*", "Accept-Encoding: identity"]
                if known is not None and known.etag:
                    lines.append(f"If-None-Match: {known.etag}")
                elif known is not None and known.modified:
                    lines.append(f"If-Modified-Since: {known.modified}")
                stream.writer.write("".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1"))
                answer = await _read_head(stream)
                return answer
        except TimeoutError as error:
            raise Unavailable(f"fetching {url}: no answer within {_PATIENCE:g} s") from error
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            raise Unavailable(f"fetching {url}: {error}") from error
        except LabdockError as error:
            raise type(error)(f"fetching {url}: {error.message}", hint=error.hint) from error
        finally:
            if stream is not None and answer is None:
                stream.close()

    # -- git ------------------------------------------------------------------------------------------

    async def find_commit(self, remote: str, ref: str) -> str:
        if _COMMIT.match(ref):
            return ref
        wanted = ref or "HEAD"
        said = await self._git(None, "ls-remote", "--", remote, wanted, f"{wanted}^{{}}")
        rows = [line.partition("\t") for line in said.splitlines()]
        found = {name: commit for commit, _, name in rows}
        for name in (wanted, f"refs/tags/{wanted}", f"refs/heads/{wanted}"):
            for each in (f"{name}^{{}}", name):
                if each in found:
                    return found[each]
        raise NotFound(f"repository {remote} does not contain ref {wanted}")

    async def clone(self, source: GitSource, commit: str, into: Path) -> None:
        await self._git(into, "init", "-q", "--initial-branch=main", ".")
        await self._git(into, "remote", "add", "--", "origin", source.remote)
        try:
            await self._git(into, "fetch", "-q", "--depth=1", "--no-tags", "origin", commit)
        except SystemFailure:
            # A server need not give out commits that no ref names: then all of it is asked for.
            await self._git(into, "fetch", "-q", "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*")
        await self._git(into, "checkout", "-q", "--detach", commit)
        if source.submodules is not False and (into / ".gitmodules").exists():
            await self._git(into, "submodule", "-q", "update", "--init", "--recursive", "--depth=1")

    async def _git(self, folder: Path | None, *args: str) -> str:
        program = shutil.which("git", path=self._environment.get("PATH"))
        if program is None:
            raise Unsupported("git was not found on PATH", hint="an administrator can install it: apt-get install git")
        async with serve_proxy(self._connect) as address:
            options = {
                "http.proxy": address,
                "protocol.allow": "never",
                "protocol.http.allow": "always",
                "protocol.https.allow": "always",
                "core.hooksPath": "/dev/null",
                "safe.directory": "*",
                "advice.detachedHead": "false",
            }
            env = {
                "PATH": self._environment.get("PATH", ""),
                "HOME": "/nonexistent",
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_CONFIG_GLOBAL": "/dev/null",
                "GIT_TERMINAL_PROMPT": "0",
                "LC_ALL": "C",
                # The password is in the environment and not in the arguments, which others can see.
                "GIT_CONFIG_COUNT": str(len(options)),
            }
            for number, (key, value) in enumerate(options.items()):
                env |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
            return await _run([program, *args], env, folder)

    async def _connect(self, host: str, port: int) -> Tunnel:
        scheme = "http" if port == 80 else "https"
        proxy = find_proxy(scheme, host, self._environment)
        return await open_stream(self._dial, urlsplit(f"https://{_bracket(host)}:{port}"), proxy, None)


async def _run(command: list[str], env: dict[str, str], folder: Path | None) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        env=env,
        cwd=folder or "/",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(_GIT_PATIENCE):
            out, err = await process.communicate()
    except TimeoutError as error:
        raise Unavailable(f"git {command[1]} did not end within {_GIT_PATIENCE:g} s") from error
    finally:
        if process.returncode is None:
            os.killpg(process.pid, 9)
            await process.wait()
    if process.returncode:
        said = err.decode(errors="replace").strip()[-2000:]
        raise SystemFailure(f"git {command[1]} failed: {said or f'exit status {process.returncode}'}")
    return out.decode(errors="replace")


class _Answer:
    """The head of an answer; the rest is in ``stream``."""

    def __init__(self, stream: Tunnel, status: int, reason: str, headers: dict[str, str]) -> None:
        self.stream = stream
        self.status = status
        self.reason = reason
        self.headers = headers

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body. Raises OSError, IncompleteReadError, ValueError, TimeoutError."""
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            while size := int((await self._line()).split(";")[0], 16):
                async for piece in self._exactly(size):
                    yield piece
                await self._line()
        elif "content-length" in self.headers:
            async for piece in self._exactly(int(self.headers["content-length"])):
                yield piece
        else:
            while piece := await asyncio.wait_for(self.stream.reader.read(_PIECE), _PATIENCE):
                yield piece

    async def _line(self) -> str:
        return (await asyncio.wait_for(self.stream.reader.readuntil(b"\r\n"), _PATIENCE)).decode("latin-1").strip()

    async def _exactly(self, size: int) -> AsyncIterator[bytes]:
        left = size
        while left:
            piece = await asyncio.wait_for(self.stream.reader.read(min(left, _PIECE)), _PATIENCE)
            if not piece:
                raise ValueError(f"the answer ended {left} bytes early")
            left -= len(piece)
            yield piece


async def _read_head(stream: Tunnel) -> _Answer:
    first = (await stream.reader.readuntil(b"\r\n")).decode("latin-1").strip()
    words = first.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
        raise ValueError("the answer is not HTTP/1.1")
    headers: dict[str, str] = {}
    for _ in range(_MOST_HEADERS):
        line = (await stream.reader.readuntil(b"\r\n")).decode("latin-1").strip()
        if not line:
            return _Answer(stream, int(words[1]), words[2] if len(words) > 2 else "", headers)
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    raise ValueError(f"the answer has more than {_MOST_HEADERS} headers")


async def _save(answer: _Answer, into: Path) -> FetchRecord:
    from email.utils import parsedate_to_datetime

    hashed, size = hashlib.sha256(), 0
    with open(into, "wb") as file:
        async for piece in answer.pieces():
            hashed.update(piece)
            size += len(piece)
            await asyncio.to_thread(file.write, piece)
    modified = answer.headers.get("last-modified", "")
    try:
        mtime = int(parsedate_to_datetime(modified).timestamp()) * 10**9 if modified else 0
    except ValueError:
        mtime = 0
    name = _NAME.search(answer.headers.get("content-disposition", ""))
    return FetchRecord(
        digest=hashed.hexdigest(),
        size=size,
        mtime_ns=mtime,
        etag=answer.headers.get("etag", ""),
        modified=modified,
        name=os.path.basename(unquote(name[1])).strip(". ") if name else "",
    )


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port)
    except ValueError:
        valid = None
    if not valid or any(ord(letter) <= 32 for letter in url):
        raise InvalidRequest(f"{url} is not a URL that can be fetched")
    return parts


def _target(parts: SplitResult) -> str:
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return path.encode("ascii", "backslashreplace").decode() if path.isascii() else _quote(path)


def _quote(path: str) -> str:
    return "".join(chr(byte) if byte < 128 else f"%{byte:02X}" for byte in path.encode("utf-8", "surrogateescape"))


def _bracket(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _tls() -> ssl.SSLContext:
    # Here: an engine that fetches nothing has no use for it.
    import ssl

    return ssl.create_default_context()
