"""ADD of URLs and repositories: what it takes, when it asks again, what it refuses."""

from __future__ import annotations

import gzip
import hashlib
import io
import stat
import tarfile
from collections.abc import Callable
from typing import Any

import pytest

from labdock.errors import DockerfileError

MakeWorld = Callable[[], Any]


@pytest.mark.sandbox
def test_add_url_is_0600_not_unpacked_and_asked_for_again(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    remote = world.fetcher.folder
    remote.mkdir()
    (remote / "f.tar").write_bytes(b"one")
    text = "FROM base\nADD http://example/f.tar /d/\nADD http://example/f.tar /name\n"
    image = world.build(text)
    assert world.listing(image)["d/f.tar"] == (stat.S_IFREG | 0o600, 0, 0)
    assert world.read(image, "name") == "one"
    assert world.fetcher.asked == ["http://example/f.tar"], "once per build"
    world.build(text)
    assert [step[0] for step in world.steps] == ["F", "*", "*"]
    (remote / "f.tar").write_bytes(b"two")
    image = world.build(text)
    assert world.read(image, "d/f.tar") == "two"
    with pytest.raises(DockerfileError, match="404") as caught:
        world.build("FROM base\nADD http://example/none /\n")
    assert caught.value.line == 2
    world.close()


@pytest.mark.sandbox
def test_add_url_whose_step_is_gone_is_fetched_again(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    world.fetcher.folder.mkdir()
    (world.fetcher.folder / "f").write_bytes(b"one")
    world.build("FROM base\nADD http://example/f /a\n")
    image = world.build("FROM base\nADD http://example/f /b\n")
    assert world.read(image, "b") == "one"
    world.close()


@pytest.mark.sandbox
def test_add_checksum_is_checked_and_makes_asking_needless(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    world.fetcher.folder.mkdir()
    (world.fetcher.folder / "f").write_bytes(b"one")
    digest = hashlib.sha256(b"one").hexdigest()
    text = f"FROM base\nARG SUM=sha256:{digest}\nADD --checksum=$SUM --chmod=644 http://example/f /f\n"
    image = world.build(text)
    assert stat.S_IMODE(world.listing(image)["f"][0]) == 0o644
    world.fetcher.asked.clear()
    world.build(text)
    assert world.fetcher.asked == []
    with pytest.raises(DockerfileError, match="digest mismatch"):
        world.build(f"FROM base\nADD --checksum=sha256:{'0' * 64} http://example/f /f\n")
    world.close()


@pytest.mark.sandbox
def test_add_unpack_of_a_remote_archive(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("in/x")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"abc"))
    world.fetcher.folder.mkdir()
    (world.fetcher.folder / "t.tgz").write_bytes(gzip.compress(buffer.getvalue()))
    image = world.build("FROM base\nADD --unpack=true http://example/t.tgz /d/\nADD http://example/t.tgz /e/\n")
    listing = world.listing(image)
    assert "d/in/x" in listing and "e/t.tgz" in listing
    world.close()


@pytest.mark.sandbox
def test_add_git_takes_a_folder_without_dot_git(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    repository = world.fetcher.folder / "r.git"
    (repository / "sub").mkdir(parents=True)
    (repository / "top").write_text("t")
    (repository / "sub/run").write_text("r")
    (repository / "sub/run").chmod(0o775)
    (repository / ".git").write_text("a" * 40)
    image = world.build(
        "FROM base\nADD https://example/r.git /all\nADD https://example/r.git#main:sub /sub\n"
        "ADD --keep-git-dir=true https://example/r.git /kept\n"
    )
    listing = world.listing(image)
    assert "all/top" in listing and "all/.git" not in listing and "kept/.git" in listing
    assert stat.S_IMODE(listing["sub/run"][0]) == 0o755
    assert stat.S_IMODE(listing["all/top"][0]) == 0o644
    world.fetcher.asked.clear()
    world.build("FROM base\nADD https://example/r.git /all\n")
    assert world.fetcher.asked == ["https://example/r.git#"], "its commit says that nothing changed"
    with pytest.raises(DockerfileError, match="expected checksum to match bbb"):
        world.build("FROM base\nADD --checksum=bbb https://example/r.git /all\n")
    world.close()


@pytest.mark.sandbox
def test_copy_link_keeps_its_layer_when_what_is_below_changes(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    world.write("f", "1")
    first = world.build("FROM base\nRUN echo 1 > /a\nCOPY --link f /d/f\n")
    second = world.build("FROM base\nRUN echo 2 > /a\nCOPY --link f /d/f\n")
    assert world.steps == ["FROM base", "RUN echo 2 > /a", "*COPY --link f /d/f"]
    assert first.layers[-1] == second.layers[-1] and first.layers[-2] != second.layers[-2]
    assert world.read(second, "a") == "2\n" and world.read(second, "d/f") == "1"
    world.close()
