"""Manifest lists that are being put together, in the place where docker's own command line keeps them too.

::

    CONFIG/manifests/LIST/MANIFEST      {"Ref", "Descriptor": {…, "platform"}, "Raw": base64, and the parsed manifest}

A name's ``:`` is ``-`` and its ``/`` is ``_`` there (docker/cli, cli/manifest/store). CONFIG is DOCKER_CONFIG, else
``~/.docker``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from labdock.client import names
from labdock.client.engine import config_folder
from labdock.client.names import Name
from labdock.errors import Conflict, InvalidRequest, NotFound, SystemFailure
from labdock.schema import oci

#: How a manifest that was parsed is called beside its bytes, by its media type.
PARSED = {oci.DOCKER_MANIFEST: "SchemaV2Manifest", oci.MANIFEST: "OCIManifest"}
INDEXES = (oci.INDEX, oci.DOCKER_INDEX)
#: What a platform in a list of Docker's is written as, in its order.
PLATFORM = ("architecture", "os", "os.version", "os.features", "variant", "features")
#: Systems and their architectures, as docker's command line knows them (cli/command/manifest/util.go), and newer ones.
KNOWN = {
    "darwin": "386 amd64 arm arm64",
    "dragonfly": "amd64",
    "freebsd": "386 amd64 arm arm64",
    "linux": "386 amd64 arm arm64 loong64 mips64 mips64le ppc64le riscv64 s390x",
    "netbsd": "386 amd64 arm",
    "openbsd": "386 amd64 arm",
    "plan9": "386 amd64",
    "solaris": "amd64",
    "windows": "386 amd64 arm64",
}
_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_DOMAIN = re.compile(r"(?:[a-zA-Z0-9.-]+|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Entry:
    """A manifest of a list: ``ref`` in full, ``data`` as its registry has it, ``platform`` as it travels."""

    ref: str
    media_type: str
    data: bytes
    platform: dict[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        return f"sha256:{hashlib.sha256(self.data).hexdigest()}"

    def document(self) -> dict[str, Any]:
        """As docker keeps it, and as it shows it when it is asked to be verbose."""
        descriptor = {"mediaType": self.media_type, "digest": self.digest, "size": len(self.data)}
        if self.platform:
            descriptor["platform"] = self.platform
        shown = {"Ref": self.ref, "Descriptor": descriptor, "Raw": base64.b64encode(self.data).decode()}
        return {**shown, PARSED.get(self.media_type, "Manifest"): msgspec.json.decode(self.data)}

    def listed(self) -> dict[str, Any]:
        """The list's line about it."""
        platform = {"architecture": "", "os": "", **self.platform}
        return {
            "mediaType": self.media_type,
            "size": len(self.data),
            "digest": self.digest,
            "platform": {name: platform[name] for name in PLATFORM if name in platform},
        }


def full_name(text: str) -> Name:
    """*text* as a name with a tag or a digest. Raises InvalidRequest in Docker's words."""
    name = names.parse(text)
    good = _DOMAIN.fullmatch(name.domain) and _NAME.fullmatch(name.path) and not text.endswith((":", "@"))
    if not good or not _TAG.fullmatch(name.tag or "x") or (name.digest and not _DIGEST.fullmatch(name.digest)):
        raise InvalidRequest("invalid reference format")
    return name


def make_list(entries: Sequence[Entry]) -> tuple[bytes, str]:
    """The list of *entries* as it is pushed, and its media type: that which goes with the first one's.

    Byte for byte what docker's command line makes of them, so that both give the same digest. Raises InvalidRequest.
    """
    for entry in entries:
        if not entry.platform.get("architecture") or not entry.platform.get("os"):
            raise InvalidRequest(
                f"manifest {entry.ref} must have an OS and Architecture to be pushed to a registry",
                hint="`manifest annotate --os OS --arch ARCH LIST MANIFEST` gives them",
            )
    kind, lines = describe(entries)
    made = {"schemaVersion": 2, "mediaType": kind, "manifests": lines}
    return msgspec.json.format(msgspec.json.encode(made), indent=3), kind


def describe(entries: Sequence[Entry]) -> tuple[str, list[dict[str, Any]]]:
    """The media type of the list of *entries*, that which goes with the first one's, and its lines."""
    kind = oci.INDEX if entries and entries[0].media_type == oci.MANIFEST else oci.DOCKER_INDEX
    return kind, [entry.listed() for entry in entries]


class ManifestLists:
    """The lists of the user whose *environment* it is."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.folder = config_folder(environment) / "manifests"

    def read(self, name: Name) -> list[Entry]:
        """The manifests of a list, in docker's order. Raises NotFound, InvalidRequest."""
        try:
            files = sorted(path for path in self._place(name).iterdir() if not path.name.startswith("."))
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"No such manifest: {name}") from None
        except OSError as error:
            raise SystemFailure(f"cannot read {self._place(name)}: {error.strerror}") from error
        return [_read(path) for path in files]

    def has(self, name: Name) -> bool:
        return self._place(name).is_dir()

    def find(self, name: Name, entry: Name) -> Entry:
        """Raises NotFound, InvalidRequest."""
        try:
            return _read(self._place(name) / _file_name(entry))
        except FileNotFoundError:
            raise NotFound(f"No such manifest: {entry}") from None

    def write(self, name: Name, entries: Sequence[Entry], *, amend: bool) -> None:
        """Keep *entries* in the list: all, or none when it is there and is not to be amended (Conflict)."""
        if self.has(name) and not amend:
            raise Conflict("refusing to amend an existing manifest list with no --amend flag")
        folder = self._place(name)
        with _told(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for entry in entries:
                _write(folder / _file_name(names.parse(entry.ref)), msgspec.json.encode(entry.document()))

    def remove(self, name: Name) -> None:
        """Raises NotFound."""
        if not self.has(name):
            raise NotFound(f"No such manifest: {name}")
        with _told(self._place(name)):
            shutil.rmtree(self._place(name))

    def _place(self, name: Name) -> Path:
        return self.folder / _file_name(name)


def _file_name(name: Name) -> str:
    return str(name).replace(":", "-").replace("/", "_")


class _told:
    """Translates what the file system refuses."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError):
            raise SystemFailure(f"cannot write to {self._path}: {error.strerror}") from error


def _write(path: Path, data: bytes) -> None:
    """Beside it, then renamed: a list that is read meanwhile has the whole of it or nothing."""
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise


def _read(path: Path) -> Entry:
    """Raises FileNotFoundError; InvalidRequest for what is no manifest."""
    try:
        found = msgspec.json.decode(path.read_bytes())
        descriptor = found["Descriptor"]
        entry = Entry(
            str(found["Ref"]),
            str(descriptor["mediaType"]),
            base64.b64decode(found["Raw"], validate=True),
            dict(descriptor.get("platform") or {}),
        )
    except FileNotFoundError:
        raise
    except OSError as error:
        raise SystemFailure(f"cannot read {path}: {error.strerror}") from error
    except (msgspec.MsgspecError, binascii.Error, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidRequest(
            f"{path} is no manifest of a list: {error}", hint="`manifest rm` and begin anew"
        ) from error
    if entry.digest != descriptor.get("digest"):
        raise InvalidRequest(f"{path}: the manifest is {entry.digest}, not {descriptor.get('digest')}")
    return entry


def annotated(entry: Entry, given: Mapping[str, Any]) -> Entry:
    """*entry* with what is *given*: a platform's fields; empty ones stay. Raises InvalidRequest: unknown platforms."""
    platform = {**entry.platform, **{name: value for name, value in given.items() if value}}
    system, architecture = str(platform.get("os", "")), str(platform.get("architecture", ""))
    if architecture not in KNOWN.get(system, "").split():
        raise InvalidRequest(
            f"manifest entry for image has unsupported os/arch combination: {system}/{architecture}",
            hint=f"{system}: {KNOWN[system]}" if system in KNOWN else "systems: " + " ".join(KNOWN),
        )
    ordered = {name: platform[name] for name in PLATFORM if name in platform}
    return Entry(entry.ref, entry.media_type, entry.data, ordered)


def foreign(entries: Sequence[Entry], target: Name) -> Iterator[Entry]:
    """Those whose blobs are in another repository than *target*. Raises InvalidRequest: not of another registry."""
    for entry in entries:
        home = names.parse(entry.ref)
        if home.domain != target.domain:
            raise InvalidRequest(
                "cannot use source images from a different registry than the target image:"
                f" {home.domain} != {target.domain}"
            )
        if home.repository != target.repository:
            yield entry
