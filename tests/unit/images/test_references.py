"""Docker's naming rules."""

from __future__ import annotations

import pytest

from labdock.errors import InvalidRequest
from labdock.images import references

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
        ("user/app", "docker.io/user/app:latest", "user/app:latest"),
        ("index.docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("docker.io/library/debian:bookworm", "docker.io/library/debian:bookworm", "debian:bookworm"),
        ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
        ("localhost:5000/a/b:c", "localhost:5000/a/b:c", "localhost:5000/a/b:c"),
        ("ghcr.io/a/b_c__d--e.f", "ghcr.io/a/b_c__d--e.f:latest", "ghcr.io/a/b_c__d--e.f:latest"),
        ("[::1]:5000/app", "[::1]:5000/app:latest", "[::1]:5000/app:latest"),
        (f"busybox@{DIGEST}", f"docker.io/library/busybox@{DIGEST}", f"busybox@{DIGEST}"),
        (f"busybox:1@{DIGEST}", f"docker.io/library/busybox:1@{DIGEST}", f"busybox:1@{DIGEST}"),
    ],
)
def test_names_are_completed_and_shortened(text: str, full: str, familiar: str) -> None:
    reference = references.parse(text)
    assert (str(reference), reference.familiar) == (full, familiar)
    assert references.parse(full) == reference


@pytest.mark.parametrize(
    "text", ["", ":tag", "a:", "a:b:c", "a b", "a//b", "-a", "a/", "a@sha256:12", "a\n", "../a", "x:" + "t" * 129, "ü"]
)
def test_what_is_no_reference_is_said_in_dockers_words(text: str) -> None:
    with pytest.raises(InvalidRequest, match="invalid reference format"):
        references.parse(text)


def test_special_refusals() -> None:
    with pytest.raises(InvalidRequest, match="must be lowercase"):
        references.parse("Busybox")
    with pytest.raises(InvalidRequest, match="64-byte hexadecimal"):
        references.parse("ab" * 32)
    with pytest.raises(InvalidRequest, match="more than 255"):
        references.parse("a" * 256)
    with pytest.raises(InvalidRequest, match="invalid tag format"):
        references.join("busybox", "a b")
    with pytest.raises(InvalidRequest, match="digest reference"):
        references.join(f"busybox@{DIGEST}")
    assert str(references.join("busybox", "1")) == "docker.io/library/busybox:1"
