"""Where a build's result goes besides the image store: ``--output`` and ``--cache-to``, in Docker's words."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from labdock.commands.build_inputs import Delivery, fields, refuse_others
from labdock.errors import InvalidRequest

if TYPE_CHECKING:
    from labdock.commands.face import Face
    from labdock.schema.build import BuildExported


def read_deliveries(outputs: Iterable[str], caches: Iterable[str]) -> tuple[Delivery, ...]:
    """What the options ask to be handed over. Raises InvalidRequest."""
    found = [each for text in outputs if (each := _read_output(text)) is not None]
    if sum(each.path is None for each in found) > 1:
        raise InvalidRequest("only one --output can go to standard output")
    return (*found, *(each for text in caches if (each := _read_cache(text)) is not None))


def _read_output(text: str) -> Delivery | None:
    if "=" not in text:
        return Delivery("tar", None) if text == "-" else Delivery("local", Path(text).expanduser(), unpacked=True)
    found = fields(text, "--output")
    refuse_others(found, ("type", "dest", "tar", "name", "push"), "--output")
    kind, destination = found.get("type", ""), found.get("dest", "")
    if kind == "image" and found.get("push", "false") == "false":
        return None  # Every build makes one.
    if kind not in ("local", "tar", "oci"):
        raise InvalidRequest(
            f"--output {text}: labdock does not write type {kind!r}",
            hint="local, tar and oci are there; `labdock save` writes what docker load reads",
        )
    unpacked = kind == "local" or (kind == "oci" and found.get("tar", "true") == "false")
    if unpacked and destination in ("", "-"):
        raise InvalidRequest(f"--output {text}: dest=FOLDER is required")
    path = None if destination in ("", "-") else Path(destination).expanduser()
    return Delivery(kind, path, unpacked)


def _read_cache(text: str) -> Delivery | None:
    found = fields(text, "--cache-to") if "=" in text else {"type": "registry", "ref": text}
    kind = found.get("type", "")
    if kind != "local":
        raise InvalidRequest(
            f"--cache-to {text}: a cache of type {kind!r} is not known here", hint="type=local,dest=FOLDER[,mode=max]"
        )
    refuse_others(found, ("type", "dest", "mode"), "--cache-to type=local")
    mode = found.get("mode", "min")
    if mode not in ("min", "max"):
        raise InvalidRequest(f"--cache-to {text}: mode is min or max")
    if not found.get("dest"):
        raise InvalidRequest(f"--cache-to {text}: dest=FOLDER is required")
    return Delivery("cache", Path(found["dest"]).expanduser(), unpacked=True, mode=mode)


def deliver(face: Face, deliveries: tuple[Delivery, ...], exported: Iterable[BuildExported]) -> None:
    """Take what the build left and put it where it belongs. Raises InvalidRequest, SystemFailure."""
    from labdock.client.exports import save_tar, unpack_tar

    outputs = [each for each in deliveries if each.kind != "cache"]
    caches = [each for each in deliveries if each.kind == "cache"]
    for event in exported:
        target = (caches if event.kind == "cache" else outputs)[event.number]
        pieces = face.client.builds.export(event.token)
        if target.path is None:
            for piece in pieces:
                face.write("stdout", piece)
        elif target.unpacked:
            for notice in unpack_tar(pieces, target.path):
                face.say(f"note: {notice}")
        else:
            save_tar(pieces, target.path)
