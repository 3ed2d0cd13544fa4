"""Docker's store of contexts, shared with the ``docker`` command: which engines there are, and which is meant.

::

    CONFIG/contexts/meta/SHA256(NAME)/meta.json      {"Name", "Metadata": {"Description"}, "Endpoints": {"docker": …}}
    CONFIG/contexts/tls/SHA256(NAME)/docker/{ca,cert,key}.pem
    CONFIG/config.json                                   {"currentContext": NAME}

(docker/cli, cli/context/store). CONFIG is DOCKER_CONFIG, else ``~/.docker``.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from labdock.client.engine import DEFAULT, Endpoint, Tls, config_folder
from labdock.errors import InvalidRequest, NotFound

NAME = r"^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$"
#: The name that means labdock's own engine even before anybody made a context of it.
OWN = "labdock"
TLS_FILES = ("ca.pem", "cert.pem", "key.pem")


@dataclass(frozen=True, slots=True)
class StoredContext:
    """A context: ``host`` is an address, ``tls`` the files' contents by name."""

    name: str
    host: str
    description: str = ""
    skip_verify: bool = False
    tls: dict[str, bytes] = field(default_factory=dict)
    #: What else other programs keep in it.
    raw: dict[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """What meta.json holds."""
        raw = dict(self.raw)
        metadata = {**(raw.get("Metadata") or {})}
        metadata.pop("Description", None)
        if self.description:
            metadata["Description"] = self.description
        ends = {**(raw.get("Endpoints") or {}), "docker": {"Host": self.host, "SkipTLSVerify": self.skip_verify}}
        return {**raw, "Name": self.name, "Metadata": metadata, "Endpoints": ends}


def check_name(name: str) -> None:
    """Raises InvalidRequest, in Docker's words, for what is no context's name."""
    if name == DEFAULT:
        raise InvalidRequest('"default" is a reserved context name')
    if not re.fullmatch(NAME.strip("^$"), name):
        raise InvalidRequest(f'context name "{name}" is invalid, names are validated against regexp "{NAME}"')


def parse(data: bytes, what: str, tls: dict[str, bytes] | None = None) -> StoredContext:
    """A context from its meta.json. Raises InvalidRequest."""
    try:
        document = msgspec.json.decode(data)
        end = document["Endpoints"]["docker"]
        description = (document.get("Metadata") or {}).get("Description") or ""
        host, skip = end["Host"], bool(end.get("SkipTLSVerify"))
        if not isinstance(host, str) or not isinstance(description, str):
            raise TypeError("Host and Description are texts")
        return StoredContext(str(document["Name"]), host, description, skip, tls or {}, document)
    except (msgspec.MsgspecError, KeyError, TypeError, AttributeError) as error:
        raise InvalidRequest(f"{what} is no context: {error}") from error


class ContextStore:
    """The contexts of the user whom *environment* describes."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.folder = config_folder(environment)

    def meta(self, name: str) -> Path:
        return self.folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()

    def tls(self, name: str) -> Path:
        return self.folder / "contexts" / "tls" / hashlib.sha256(name.encode()).hexdigest()

    def all(self) -> list[StoredContext]:
        """All that can be understood, by name."""
        try:
            folders = sorted((self.folder / "contexts" / "meta").iterdir())
        except OSError:
            return []
        found = [self._read(folder) for folder in folders if (folder / "meta.json").is_file()]
        return sorted(found, key=lambda each: each.name)

    def exists(self, name: str) -> bool:
        return (self.meta(name) / "meta.json").is_file()

    def get(self, name: str) -> StoredContext:
        """Raises NotFound in Docker's words, InvalidRequest for a damaged one."""
        if not self.exists(name):
            path = self.meta(name) / "meta.json"
            raise NotFound(
                f'context "{name}": context not found: open {path}: no such file or directory',
                hint="`labdock context ls` shows what there is",
            )
        return self._read(self.meta(name))

    def _read(self, folder: Path) -> StoredContext:
        files = self.folder / "contexts" / "tls" / folder.name / "docker"
        path = folder / "meta.json"
        try:
            tls = {name: (files / name).read_bytes() for name in TLS_FILES if (files / name).is_file()}
            return parse(path.read_bytes(), str(path), tls)
        except OSError as error:
            raise InvalidRequest(f"cannot read {error.filename}: {error.strerror}") from error

    def endpoint(self, name: str, own: str) -> Endpoint:
        """Where the context's engine is; *own* is labdock's own address. Raises NotFound, InvalidRequest."""
        if name == OWN and not self.exists(name):
            return Endpoint(own, OWN, True)
        found = self.get(name)
        tls = None
        if found.host.startswith(("tcp://", "https://")) and (found.tls or found.skip_verify):
            folder = self.tls(name) / "docker"
            ca, certificate, key = (str(folder / file) if file in found.tls else "" for file in TLS_FILES)
            tls = Tls(ca, certificate, key, not found.skip_verify)
        return Endpoint(found.host, name, found.host == own, tls)

    def write(self, context: StoredContext) -> None:
        """Make or replace it: the files of TLS first, then what names them, each at once."""
        folder = self.tls(context.name)
        shutil.rmtree(folder, ignore_errors=True)
        for name, data in context.tls.items():
            _write(folder / "docker" / name, data, 0o600)
        _write(self.meta(context.name) / "meta.json", msgspec.json.encode(context.document()), 0o644)

    def remove(self, name: str) -> None:
        """Forget it; nothing happens when it is not there."""
        shutil.rmtree(self.meta(name), ignore_errors=True)
        shutil.rmtree(self.tls(name), ignore_errors=True)

    def current(self) -> str:
        """The chosen one; ``default`` when none was."""
        found = self._config().get("currentContext")
        return found if isinstance(found, str) and found else DEFAULT

    def choose(self, name: str) -> None:
        """Make *name* what ``docker`` and ``labdock`` mean from now on; the rest of config.json stays."""
        document = self._config()
        if name == DEFAULT:
            document.pop("currentContext", None)
        else:
            document["currentContext"] = name
        data = msgspec.json.format(msgspec.json.encode(document), indent=4)
        _write(self.folder / "config.json", data + b"\n", 0o600)

    def _config(self) -> dict[str, Any]:
        path = self.folder / "config.json"
        try:
            document = msgspec.json.decode(path.read_bytes() or b"{}")
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.MsgspecError) as error:
            raise InvalidRequest(f"cannot read {path}: {error}") from error
        if not isinstance(document, dict):
            raise InvalidRequest(f"cannot read {path}: it is no JSON object")
        return document


def _write(path: Path, data: bytes, mode: int) -> None:
    """Beside it, then renamed. A link stays a link, as those who keep their dot files elsewhere want."""
    path = path.resolve() if path.is_symlink() else path
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}")
        with os.fdopen(descriptor, "wb") as out:
            os.fchmod(descriptor, mode)
            out.write(data)
        os.replace(name, path)
    except OSError as error:
        raise InvalidRequest(f"cannot write {path}: {error.strerror}") from error
