"""Bundles: a folder is a valid OCI layout at every moment, whatever comes out of the engine."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labdock.client import Client
from labdock.client.scripted import Reply, Script, ScriptedTransport
from labdock.commands import run
from labdock.commands.bundling import FULL_NAME, REF_NAME, unpack
from labdock.errors import Corrupt, InvalidRequest
from labdock.notebook.face import NotebookFace


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def archive(*files: tuple[str, bytes], kind: bytes = tarfile.REGTYPE) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files:
            member = tarfile.TarInfo(name)
            member.size, member.type = len(data), kind
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def saved(name: str, blob: bytes) -> bytes:
    """What the engine's ``save`` sends for one image; the manifest is not looked into."""
    entry = {"digest": f"sha256:{digest(blob)}", "annotations": {FULL_NAME: name, REF_NAME: "latest"}}
    return archive(
        ("oci-layout", b"{}"),
        (f"blobs/sha256/{digest(blob)}", blob),
        ("index.json", json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()),
        ("manifest.json", b"[]"),
        ("repositories", b"{}"),
    )


def pieces(data: bytes, size: int = 1000) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def names(folder: Path) -> list[str]:
    index = json.loads((folder / "index.json").read_text())
    return [entry["annotations"][FULL_NAME] for entry in index["manifests"]]


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_folder(tmp_path: Path) -> None:
    blob = bytes(3_000_000)
    assert unpack(pieces(saved("a", blob)), tmp_path / "new/b") == len(blob)
    assert files(tmp_path / "new/b") == sorted([f"blobs/sha256/{digest(blob)}", "index.json", "oci-layout"])
    assert json.loads((tmp_path / "new/b/oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    assert (tmp_path / f"new/b/blobs/sha256/{digest(blob)}").read_bytes() == blob


def test_images_are_added_and_a_name_means_its_newest(tmp_path: Path) -> None:
    for name, blob in (("a", b"1"), ("b", b"2"), ("a", b"3")):
        unpack(pieces(saved(name, blob)), tmp_path)
    assert names(tmp_path) == ["b", "a"]
    index: dict[str, Any] = json.loads((tmp_path / "index.json").read_text())
    assert index["manifests"][1]["digest"] == f"sha256:{digest(b'3')}"


@pytest.mark.parametrize(
    "data",
    [
        saved("b", b"new")[:2000],
        saved("b", b"new").replace(b"new" + bytes(9), b"old" + bytes(9)),
        archive((f"blobs/sha256/{digest(b'x')}", b"x")),
        archive(("blobs/sha256/../../../evil", b"x"), ("index.json", b"{}")),
        archive(("blobs/sha256/" + "A" * 64, b"x"), ("index.json", b"{}")),
        archive((f"blobs/sha256/{digest(b'x')}", b"x"), ("index.json", b"[]")),
        archive((f"blobs/sha256/{digest(b'x')}", b""), ("index.json", b""), kind=tarfile.SYMTYPE),
        b"no tar at all" * 100,
        b"",
    ],
    ids=["cut", "wrong-bytes", "no-index", "path", "odd-name", "odd-index", "links", "no-tar", "empty"],
)
def test_what_is_broken_changes_nothing_that_is_listed(data: bytes, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    unpack(pieces(saved("a", b"1")), folder)
    with pytest.raises(Corrupt):
        unpack(pieces(data), folder)
    assert names(folder) == ["a"]
    assert not [name for name in files(tmp_path) if "part" in name or "evil" in name]


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(InvalidRequest, match="something else"):
        unpack(pieces(saved("a", b"1")), tmp_path)
    with pytest.raises(InvalidRequest, match="is a file"):
        unpack(pieces(saved("a", b"1")), tmp_path / "thesis.tex")
    assert files(tmp_path) == ["thesis.tex"]


@pytest.mark.parametrize("words", ["images bundle", "image bundle"])
def test_the_command(words: str, tmp_path: Path) -> None:
    script = Script().on("GET", "/images/get", Reply(body=saved("a", b"1")))
    face = NotebookFace(client=Client(ScriptedTransport(script)))
    shown = run([*words.split(), "-o", str(tmp_path / "b"), "a", "b:2"], face)
    assert str(shown) == f"{tmp_path}/b: 1B"
    assert script.asked[0].query == {"names": ["a", "b:2"]}
    run([*words.split(), "a", "-o", str(tmp_path / "b.tar")], face)
    assert (tmp_path / "b.tar").read_bytes() == saved("a", b"1")
