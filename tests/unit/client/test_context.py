"""Build contexts: what is in the tar, and what is refused."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from labdock.client import context
from labdock.errors import InvalidRequest


def unpack(made: context.Context) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(made))) as tar:
        return {member.name: member for member in tar.getmembers()}


def content(made: context.Context, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(b"".join(made))) as tar:
        found = tar.extractfile(name)
        assert found is not None
        return found.read()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("print()\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "big").write_bytes(bytes(10_000))
    os.symlink("src/a.py", tmp_path / "link")
    (tmp_path / "src" / "a.py").chmod(0o755)
    return tmp_path


def test_everything_in_order_owned_by_root(folder: Path) -> None:
    made = unpack(context.from_folder(folder))
    assert list(made) == ["Dockerfile", "data", "data/big", "link", "src", "src/a.py"]
    assert made["src/a.py"].mode == 0o755
    assert made["link"].linkname == "src/a.py"
    assert {(member.uid, member.gid, member.uname) for member in made.values()} == {(0, 0, "")}


def test_ignored_files_stay_behind_but_never_the_dockerfile(folder: Path) -> None:
    (folder / ".dockerignore").write_text("*\n!src\n")
    assert list(unpack(context.from_folder(folder))) == [".dockerignore", "Dockerfile", "src", "src/a.py"]


def test_a_dockerfile_from_elsewhere_travels_along_and_is_ignored_there(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other") / "Other"
    other.write_text("FROM busybox\n")
    made = context.from_folder(folder, dockerfile=other)
    assert made.dockerfile == context.OUTSIDE_DOCKERFILE
    assert content(made, made.dockerfile) == b"FROM busybox\n"
    assert content(made, ".dockerignore").split() == [b".dockerignore", made.dockerfile.encode()]


def test_a_cell_with_a_context_changes_nothing_but_its_own_file(folder: Path) -> None:
    first = unpack(context.from_folder(folder, text=b"FROM a\n"))
    second = unpack(context.from_folder(folder, text=b"FROM b\nRUN c\n"))
    assert list(first) == list(second)


def test_a_named_dockerfile_in_the_context(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "src" / "Other").write_text("FROM a")
    assert context.from_folder(folder, dockerfile=folder / "src" / "Other").dockerfile == "src/Other"
    monkeypatch.chdir("/")
    assert context.from_folder(folder, dockerfile=Path("src/Other")).dockerfile == "src/Other"


@pytest.mark.parametrize("whole", ["home", "root", "parent"])
def test_whole_homes_are_refused(whole: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "people" / "me"
    home.mkdir(parents=True)
    (home / "Dockerfile").touch()
    monkeypatch.setenv("HOME", str(home))
    folder = {"home": home, "root": Path("/"), "parent": tmp_path / "people"}[whole]
    with pytest.raises(InvalidRequest, match="home") as caught:
        context.from_folder(folder)
    assert "--force-context" in (caught.value.hint or "")
    if whole == "home":
        assert list(unpack(context.from_folder(home, force=True))) == ["Dockerfile"]


def test_more_than_the_limit_is_refused_unless_ignored(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "MAX_CONTEXT", 5_000)
    with pytest.raises(InvalidRequest, match="holds more than") as caught:
        context.from_folder(folder)
    assert ".dockerignore" in (caught.value.hint or "")
    (folder / ".dockerignore").write_text("data\n")
    assert "data" not in unpack(context.from_folder(folder))


@pytest.mark.parametrize(("name", "words"), [("none", "not found"), ("Dockerfile", "no folder"), ("src", "Dockerfile")])
def test_what_is_not_there(folder: Path, name: str, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words) as caught:
        context.from_folder(folder / name)
    assert caught.value.hint


def test_a_file_that_shrinks_while_it_is_sent_keeps_the_tar_whole(folder: Path) -> None:
    parts = iter(context.from_folder(folder))
    data = b""
    for part in parts:
        data += part
        if b"data/big" in part:
            (folder / "data" / "big").write_bytes(b"")
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert tar.getmember("data/big").size == 10_000
        assert "src/a.py" in tar.getnames()


def test_sockets_are_passed_over(folder: Path) -> None:
    os.mkfifo(folder / "fifo")
    import socket

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "sock"))
        made = unpack(context.from_folder(folder))
    assert "sock" not in made
    assert made["fifo"].isfifo()
