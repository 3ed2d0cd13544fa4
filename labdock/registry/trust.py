"""Which certificates are believed: the system's, and own ones in docker's ``certs.d/HOST`` layout."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Iterable
from pathlib import Path

from labdock.errors import InvalidRequest

#: Files of one host's folder that are looked at.
_MOST_FILES = 256


class Trust:
    """Makes TLS contexts, one per host, each when it is first needed, in a worker thread (reading CAs takes 20 ms)."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._folders = tuple(folders)
        self._contexts: dict[tuple[str, bool], asyncio.Future[ssl.SSLContext]] = {}

    async def context(self, host: str, *, verified: bool = True) -> ssl.SSLContext:
        """For *host* (``name[:port]``). Raises InvalidRequest naming the file that can't be taken."""
        key = (host if self._has_own(host) else "", verified)
        if key not in self._contexts:
            self._contexts[key] = asyncio.ensure_future(asyncio.to_thread(self._make, host, verified))
        try:
            return await asyncio.shield(self._contexts[key])
        except InvalidRequest:
            self._contexts.pop(key, None)
            raise

    def _has_own(self, host: str) -> bool:
        # quirk: Path.is_dir raises where a folder may not be looked into (root's own, for an engine mapped to another
        # id); os.path.isdir does not. What can't be read is not there.
        return any(os.path.isdir(folder / host) for folder in self._folders)

    def _make(self, host: str, verified: bool) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        for folder in self._folders:
            try:
                files = sorted((folder / host).iterdir())[:_MOST_FILES]
            except OSError:
                continue
            for path in files:
                try:
                    if path.suffix == ".crt":
                        context.load_verify_locations(path)
                    elif path.suffix == ".cert":
                        context.load_cert_chain(path, path.with_suffix(".key"))
                except (OSError, ssl.SSLError) as error:
                    raise InvalidRequest(f"reading the certificate {path}: {error}") from error
        if not verified:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context
