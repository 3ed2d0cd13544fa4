"""What a build is given besides its context, read from options in Docker's words: secrets, agents, contexts, caches."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labdock.client.builds import Extras
from labdock.client.parcels import Part
from labdock.errors import InvalidRequest

#: BuildKit's own bound (500 KiB): what is larger is a file, not a secret.
LARGEST_SECRET = 500 << 10
_ADDRESS = re.compile(r"(docker-image|https?|git|ssh)://|git@", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where something that a build hands over goes. ``kind``: local, tar, oci or cache; ``path`` None: stdout.

    ``unpacked``: as files in a folder rather than as one tar.
    """

    kind: str
    path: Path | None
    unpacked: bool = False
    mode: str = "min"


def read_extras(options: dict[str, Any], deliveries: tuple[Delivery, ...]) -> tuple[Extras, tuple[str, ...]]:
    """The extras that *options* mean, and those cache sources that are images. Raises InvalidRequest."""
    contexts, parts = read_contexts(options["build_context"], force=bool(options["force_context"]))
    images, caches = read_caches(options["cache_from"])
    extras = Extras(
        secrets=dict(map(read_secret, options["secret"])),
        agents=dict(map(read_agent, options["ssh"])),
        contexts=contexts,
        outputs=tuple(each.kind for each in deliveries if each.kind != "cache"),
        cache_to=tuple(each.mode for each in deliveries if each.kind == "cache"),
        caches=tuple(part.name for part in caches),
        parts=(*parts, *caches),
        allow=tuple(name for text in options["allow"] for name in text.split(",") if name),
        explain=options["explain"],
        check=options["check"],
        reproducible=options["reproducible"],
        provenance=_wants_provenance(options["provenance"]),
    )
    return extras, images


def fields(text: str, option: str) -> dict[str, str]:
    """``type=local,dest=out`` as a mapping; a value in double quotes may hold commas (it is a line of CSV)."""
    import csv

    found: dict[str, str] = {}
    for entry in next(csv.reader([text]), []):
        name, given, value = entry.partition("=")
        if not given:
            raise InvalidRequest(f"invalid value {entry!r} for {option}: expected name=value")
        found[name.strip().lower()] = value
    return found


def refuse_others(found: dict[str, str], known: Iterable[str], option: str) -> None:
    unknown = sorted(set(found) - set(known))
    if unknown:
        raise InvalidRequest(f"unexpected key {unknown[0]!r} in {option}", hint=f"known are {', '.join(sorted(known))}")


def read_secret(text: str) -> tuple[str, bytes]:
    """(id, value) of ``--secret id=ID[,src=FILE | ,env=NAME]``. The value is in no message."""
    found = fields(text, "--secret")
    refuse_others(found, ("id", "type", "src", "source", "env"), "--secret")
    kind, file, name = found.get("type", ""), found.get("src") or found.get("source"), found.get("env")
    identity = found.get("id") or (os.path.basename(file) if file else name)
    if not identity:
        raise InvalidRequest("a --secret needs an id", hint="--secret id=token,src=token.txt or id=token,env=TOKEN")
    if kind not in ("", "file", "env"):
        raise InvalidRequest(f"unsupported secret type {kind!r}: it is file or env")
    if kind == "env" and name is None:
        file, name = None, file or identity
    if file is None and (name or identity) in os.environ:
        value = os.environb[os.fsencode(name or identity)]
    elif name is not None:
        raise InvalidRequest(f"secret {identity}: there is no environment variable {name}")
    else:
        value = _read_secret_file(identity, Path(file or identity).expanduser())
    if len(value) > LARGEST_SECRET:
        raise InvalidRequest(f"secret {identity} has {len(value)} bytes; at most {LARGEST_SECRET} are taken")
    return identity, value


def _read_secret_file(identity: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST_SECRET + 1)
    except OSError as error:
        raise InvalidRequest(f"secret {identity}: {path}: {error.strerror or error}") from error


def read_agent(text: str) -> tuple[str, str]:
    """(id, socket) of ``--ssh default`` or ``--ssh ID=SOCKET``."""
    identity, _, path = text.partition("=")
    path = path or os.environ.get("SSH_AUTH_SOCK", "")
    if not path:
        raise InvalidRequest(
            "--ssh: no ssh agent is known (SSH_AUTH_SOCK is not set)", hint="eval $(ssh-agent), ssh-add, and again"
        )
    try:
        is_socket = stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError as error:
        raise InvalidRequest(f"--ssh {identity}: {path}: {error.strerror or error}") from error
    if not is_socket:
        raise InvalidRequest(
            f"--ssh {identity}: {path} is not an agent's socket",
            hint="keys stay with their agent: `ssh-add KEY`, then --ssh default",
        )
    return identity or "default", os.path.abspath(path)


def read_contexts(texts: Iterable[str], *, force: bool) -> tuple[dict[str, str], list[Part]]:
    """Named contexts by name as the engine takes them, and the tars of those that are folders here."""
    from labdock.client import context

    found: dict[str, str] = {}
    parts: list[Part] = []
    for text in texts:
        name, given, value = text.partition("=")
        if not given or not name or not value:
            raise InvalidRequest(f"invalid context value: {text}, expected key=value")
        if value.startswith("oci-layout://"):
            path, reference = _split_layout(value.removeprefix("oci-layout://"))
            parts.append(Part("context", name, context.from_layout(path, reference)))
            found[name] = "oci-layout"
        elif _ADDRESS.match(value):
            found[name] = value
        else:
            parts.append(Part("context", name, context.from_named(Path(value).expanduser(), force=force)))
            found[name] = "part"
    return found, parts


def _split_layout(text: str) -> tuple[Path, str]:
    """``DIR``, ``DIR:TAG`` or ``DIR@DIGEST``."""
    path, at, digest = text.partition("@")
    if at:
        return Path(path), digest
    above, slash, last = text.rpartition("/")
    name, _, tag = last.partition(":")
    return Path(above + slash + name), tag


def read_caches(texts: Iterable[str]) -> tuple[tuple[str, ...], list[Part]]:
    """(images, folders' tars) that ``--cache-from`` names. A folder without a cache yet is none, as in BuildKit."""
    from labdock.client import context

    images: list[str] = []
    parts: list[Part] = []
    for text in texts:
        found = fields(text, "--cache-from") if "=" in text else {"type": "registry", "ref": text}
        kind = found.get("type", "")
        if kind == "local":
            refuse_others(found, ("type", "src", "tag", "digest"), "--cache-from type=local")
            made = context.from_cache(Path(found.get("src") or ".").expanduser())
            if made is not None:
                parts.append(Part("cache", f"cache-{len(parts)}", made))
        elif kind == "registry" and found.get("ref"):
            images.append(found["ref"])
        else:
            raise InvalidRequest(
                f"--cache-from {text}: a cache of type {kind!r} is not known here",
                hint="type=local,src=FOLDER, or an image's name",
            )
    return tuple(images), parts


def _wants_provenance(text: str | None) -> bool:
    if text is None or text in ("false", "0"):
        return False
    if text in ("true", "1") or "mode=min" in text or "mode=max" in text:
        return True
    raise InvalidRequest(f"invalid value {text!r} for --provenance: it is true, false, mode=min or mode=max")
