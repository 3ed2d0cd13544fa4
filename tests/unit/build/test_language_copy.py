"""The language: COPY and ADD, built on the real store."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Callable
from typing import Any

import pytest

from labdock.build.dockerfile.remotes import BadSource, GitSource, HttpSource, read_remote, settle
from labdock.errors import LabdockError
from tests.unit.build.language import message_of

MakeWorld = Callable[[], Any]


@pytest.mark.sandbox
def test_a_slash_at_the_end_makes_a_folder_and_parents_are_roots(make_world: MakeWorld) -> None:
    world = make_world()
    world.write("f", "x", 0o640)
    listing = world.listing(world.build("FROM scratch\nWORKDIR /w\nCOPY f a/b/\nCOPY f c/d\nUSER 5\nCOPY f /e\n"))
    assert {"w/a/b/f", "w/c/d", "e"} <= set(listing)
    assert listing["w/a"] == (stat.S_IFDIR | 0o755, 0, 0)
    assert listing["e"] == (stat.S_IFREG | 0o640, 0, 0)
    # quirk: BuildKit no longer asks for the slash: each source is written over the one before.
    world.write("g", "later")
    assert world.read(world.build("FROM scratch\nCOPY f g /x\n"), "x") == "later"
    world.close()


@pytest.mark.sandbox
def test_a_folder_gives_its_contents_with_dot_files_and_merges(make_world: MakeWorld) -> None:
    world = make_world()
    world.write("d/.hidden", "1")
    world.write("d/sub/f", "2")
    world.write("e/sub/g", "3")
    found = set(world.listing(world.build("FROM scratch\nCOPY d e/ /t/\n")))
    assert found == {"t", "t/.hidden", "t/sub", "t/sub/f", "t/sub/g"}
    with pytest.raises(LabdockError):
        world.build("FROM scratch\nCOPY d/.hidden /x\nCOPY d /x\n")
    world.close()


@pytest.mark.sandbox
def test_wildcards_are_gos_and_what_matches_nothing_is_an_error_when_alone(make_world: MakeWorld) -> None:
    world = make_world()
    for name in ("a1", "a2", ".b", "[x", "sub/deep"):
        world.write(name, name)
    found = set(world.listing(world.build("FROM scratch\nCOPY a[1-9] .? [[]* s* none* /t/\n")))
    assert found == {"t", "t/a1", "t/a2", "t/.b", "t/[x", "t/deep"}
    with pytest.raises(LabdockError):
        world.build("FROM scratch\nCOPY none* /t/\n")
    world.close()


@pytest.mark.sandbox
def test_modes_and_times_are_kept_and_setuid_too(make_world: MakeWorld) -> None:
    world = make_world()
    path = world.write("f", "x")
    path.chmod(0o4750)
    os.utime(path, (1_500_000_000, 1_500_000_000))
    image = world.build("FROM scratch\nCOPY f /f\n")
    assert world.listing(image)["f"] == (stat.S_IFREG | 0o4750, 0, 0)
    world.close()


@pytest.mark.sandbox
def test_links_are_followed_as_sources_and_kept_inside(make_world: MakeWorld) -> None:
    world = make_world()
    world.write("real", "content")
    world.write("d/x", "y")
    (world.context / "link").symlink_to("real")
    (world.context / "d" / "inner").symlink_to("/nowhere")
    image = world.build("FROM scratch\nCOPY link /copied\nCOPY d /d/\n")
    listing = world.listing(image)
    assert stat.S_ISREG(listing["copied"][0])
    assert stat.S_ISLNK(listing["d/inner"][0])
    world.close()


@pytest.mark.sandbox
def test_paths_above_the_context_stay_inside_of_it(make_world: MakeWorld) -> None:
    world = make_world()
    world.write("f", "inside")
    (world.context / "out").symlink_to("../../../../f")
    image = world.build("FROM scratch\nCOPY ../../f /a\nCOPY /f /b\nCOPY out /c\n")
    assert [world.read(image, name) for name in "abc"] == ["inside"] * 3
    world.close()


@pytest.mark.sandbox
def test_chown_takes_the_names_of_the_image_and_a_number_is_the_groups_too(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    world.write("f", "x")
    text = "FROM base\nENV O=app\nCOPY --chown=$O f /a\nCOPY --chown=77 f /b\n"
    text += "COPY --chown=app:staff f /c\nCOPY --chown=7:8 f /d\n"
    listing = world.listing(world.build(text))
    assert [listing[name][1:] for name in "abcd"] == [(1000, 1001), (77, 77), (1000, 50), (7, 8)]
    with pytest.raises(LabdockError):
        world.build("FROM base\nCOPY --chown=nobody-here f /x\n")
    world.close()


@pytest.mark.sandbox
def test_chmod_is_octal_or_symbolic_and_for_folders_too(make_world: MakeWorld) -> None:
    world = make_world()
    world.write("d/f", "x", 0o644)
    text = "FROM scratch\nARG M=0750\nCOPY --chmod=$M d /a/\nCOPY --chmod=u=rwX,go=rX d /b/\nCOPY --chmod=+x d/f /c\n"
    listing = world.listing(world.build(text))
    modes = {name: stat.S_IMODE(value[0]) for name, value in listing.items()}
    assert (modes["a/f"], modes["b/f"], modes["c"]) == (0o750, 0o644, 0o755)
    with pytest.raises(LabdockError):
        world.build("FROM scratch\nCOPY --chmod=99999 d /a/\n")
    world.close()


@pytest.mark.sandbox
def test_link_keeps_its_cache_when_what_is_below_changes(make_world: MakeWorld) -> None:
    world = make_world()
    world.add_base()
    world.write("f", "x")
    text = "FROM base\nRUN echo {} > /below\nCOPY --link f /f\n"
    world.build(text.format(1))
    image = world.build(text.format(2))
    assert world.steps[-1] == "*COPY --link f /f"
    assert (world.read(image, "f"), world.read(image, "below")) == ("x", "2\n")
    world.close()


@pytest.mark.sandbox
def test_parents_keeps_folders_from_the_pivot_on(make_world: MakeWorld) -> None:
    world = make_world()
    world.write("a/b/c/f", "x")
    world.write("a/z/f", "x")
    found = set(world.listing(world.build("FROM scratch\nCOPY --parents a/./b/c/f /p/\nCOPY --parents a/**/f /q/\n")))
    assert {"p/b/c/f", "q/a/b/c/f", "q/a/z/f"} <= found
    assert "p/a" not in found
    world.close()


@pytest.mark.sandbox
def test_exclude_is_relative_to_each_folder_and_may_be_given_again(make_world: MakeWorld) -> None:
    world = make_world()
    for name in ("d/a.txt", "d/b.md", "d/sub/c.txt", "d/keep", "e.txt"):
        world.write(name)
    text = "FROM scratch\nCOPY --exclude=**/*.txt --exclude=*.md d e.txt /t/\n"
    assert set(world.listing(world.build(text))) == {"t", "t/sub", "t/keep", "t/e.txt"}
    world.close()


@pytest.mark.sandbox
def test_add_unpacks_local_archives_by_content_and_unpack_false_does_not(make_world: MakeWorld) -> None:
    world = make_world()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as archive:
        entry = tarfile.TarInfo("in/f")
        entry.size, entry.uid, entry.mode = 1, 42, 0o600
        archive.addfile(entry, io.BytesIO(b"x"))
    world.write("named.txt").write_bytes(packed.getvalue())
    world.write("fake.tar.gz", "no archive")
    text = "FROM scratch\nADD named.txt /a/\nADD --unpack=false named.txt /b/\nADD fake.tar.gz /c/\n"
    listing = world.listing(world.build(text))
    assert listing["a/in/f"] == (stat.S_IFREG | 0o600, 42, 0)
    assert {"b/named.txt", "c/fake.tar.gz"} <= set(listing)
    world.close()


def test_copy_takes_no_url_and_no_repository() -> None:
    for source in ("http://h/x", "https://h/x.git", "git@h:x", "git://h/x"):
        assert "source can't be a URL for COPY" in message_of(f"FROM a\nCOPY {source} /\n")


def test_a_url_gives_its_last_name() -> None:
    assert read_remote("https://h/a/b%20c.tar?x=y") == HttpSource("https://h/a/b%20c.tar?x=y", "b c.tar")
    assert read_remote("https://h") == HttpSource("https://h", "__unnamed__")
    assert read_remote("ftp://h/x") is None
    assert read_remote("a/b") is None


def test_checksum_is_for_one_url_or_repository() -> None:
    digest = "sha256:" + "a" * 64
    assert settle(("https://h/x",), checksum=digest) == (HttpSource("https://h/x", "x"),)
    (git,) = settle(("https://h/x.git",), checksum="deadbeef")
    assert isinstance(git, GitSource)
    assert git.checksum == "deadbeef"
    for sources, checksum, words in (
        (("a",), digest, "checksum requires HTTP"),
        (("https://h/x", "https://h/y"), digest, "checksum can't be specified for multiple sources"),
        (("https://h/x",), "sha256:abc", "invalid checksum digest length"),
        (("https://h/x",), "abc", "invalid checksum digest format"),
        (("https://h/x",), "md5:abc", "unsupported digest algorithm"),
        (("https://h/x.git?checksum=aa",), "bb", "checksum mismatch"),
    ):
        with pytest.raises(BadSource, match=words):
            settle(sources, checksum=checksum)


@pytest.mark.parametrize(
    ("text", "ref", "folder", "keep"),
    [
        ("https://h/x.git", "", "", None),
        ("https://h/x.git#v1:a/b", "v1", "a/b", None),
        ("https://h/x.git?ref=v1&subdir=/a&keep-git-dir", "v1", "a", True),
        ("https://h/x.git?tag=v1&keep-git-dir=0", "refs/tags/v1", "", False),
        ("git@h:x/y.git?branch=b", "refs/heads/b", "", None),
        ("https://h/x.git#:../../a", "", "a", None),
    ],
)
def test_a_repository_with_its_ref_and_folder(text: str, ref: str, folder: str, keep: bool | None) -> None:
    found = read_remote(text)
    assert isinstance(found, GitSource)
    assert (found.ref, found.folder, found.keep_git_dir) == (ref, folder, keep)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("nope=1", 'unexpected query "nope"'),
        ("ref", 'query "ref" has no value'),
        ("ref=a&ref=b", 'query "ref" has multiple values'),
        ("ref=a&tag=b", "ref conflicts"),
        ("tag=a&branch=b", "branch conflicts with tag"),
        ("keep-git-dir=x", "invalid keep-git-dir value"),
        ("mtime=x", "invalid mtime value"),
    ],
)
def test_a_repository_whose_query_can_not_be_read(query: str, words: str) -> None:
    with pytest.raises(BadSource, match=words):
        read_remote(f"https://h/x.git?{query}")
