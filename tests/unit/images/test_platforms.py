"""Platforms: what is read, what fits, and what is chosen from an index."""

from __future__ import annotations

import pytest

from labdock.errors import InvalidRequest, NotFound
from labdock.images import platforms
from labdock.schema.oci import Descriptor, Platform


def offer(*texts: str) -> list[Descriptor]:
    found = []
    for number, text in enumerate(texts):
        os, architecture, *variant = text.split("/")
        platform = Platform(os=os, architecture=architecture, variant=variant[0] if variant else "")
        found.append(Descriptor(media_type="m", digest=f"d{number}", size=1, platform=platform))
    return found


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v2", "linux/amd64/v2"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("arm64", "linux/arm64"),
        ("Linux/AMD64", "linux/amd64"),
        ("windows/amd64", "windows/amd64"),
    ],
)
def test_spellings(text: str, shown: str) -> None:
    assert platforms.show(platforms.parse(text)) == shown


@pytest.mark.parametrize("text", ["", "a/b/c/d", "linux/", "linux/am d64", "/amd64", "x" * 50])
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="invalid platform"):
        platforms.parse(text)


def test_a_single_word_that_names_nothing_is_refused_in_dockers_words() -> None:
    with pytest.raises(InvalidRequest, match=r'^"foobar": unknown operating system or architecture'):
        platforms.parse("foobar")


@pytest.mark.parametrize(
    ("wanted", "offered", "chosen"),
    [
        ("linux/amd64", ("linux/arm64", "linux/amd64"), "d1"),
        ("linux/arm/v7", ("linux/arm/v5", "linux/arm/v6", "linux/arm/v7"), "d2"),
        ("linux/arm/v6", ("linux/arm/v7", "linux/arm/v5"), "d1"),
        ("linux/arm", ("linux/arm/v6", "linux/arm/v7"), "d1"),
        ("linux/arm64", ("linux/arm64/v8", "linux/arm/v7"), "d0"),
        ("linux/arm64", ("linux/arm/v7", "linux/amd64"), "d0"),
        ("linux/amd64", ("linux/amd64/v2", "linux/amd64"), "d1"),
        ("linux/amd64/v3", ("linux/amd64", "linux/amd64/v2"), "d1"),
        ("linux/amd64", ("linux/amd64", "linux/amd64"), "d0"),
        ("linux/s390x", ("linux/s390x",), "d0"),
    ],
)
def test_the_nearest_that_runs_is_chosen(wanted: str, offered: tuple[str, ...], chosen: str) -> None:
    assert platforms.choose(offer(*offered), platforms.parse(wanted), "x").digest == chosen


@pytest.mark.parametrize(
    ("wanted", "offered"),
    [
        ("linux/amd64", ("linux/arm64",)),
        ("linux/amd64", ("windows/amd64",)),
        ("linux/amd64", ("linux/amd64/v3",)),
        ("linux/arm/v6", ("linux/arm/v7",)),
        ("linux/amd64", ("unknown/unknown",)),
        ("linux/amd64", ()),
    ],
)
def test_none_that_runs_is_said_in_dockers_words(wanted: str, offered: tuple[str, ...]) -> None:
    with pytest.raises(NotFound, match=f"no matching manifest for {wanted} in the manifest list entries") as caught:
        platforms.choose(offer(*offered), platforms.parse(wanted), "x")
    assert caught.value.hint is not None and "x has images for: " in caught.value.hint


def test_attestations_are_no_images() -> None:
    note = {"vnd.docker.reference.type": "attestation-manifest"}
    marked = Descriptor(
        media_type="m", digest="a", size=1, platform=Platform(os="linux", architecture="amd64"), annotations=note
    )
    assert platforms.choose([marked, *offer("linux/amd64")], platforms.parse("linux/amd64"), "x").digest == "d0"


def test_an_entry_alone_without_a_platform_is_taken() -> None:
    only = Descriptor(media_type="m", digest="a", size=1)
    assert platforms.choose([only], platforms.parse("linux/amd64"), "x") is only
    with pytest.raises(NotFound):
        platforms.choose([only, only], platforms.parse("linux/amd64"), "x")
