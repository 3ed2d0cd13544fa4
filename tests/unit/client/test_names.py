"""Names taken apart by the client as the engine takes them apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labdock.client import names
from labdock.errors import InvalidRequest
from labdock.images import references

PARTS = st.sampled_from(
    [
        "docker.io",
        "index.docker.io",
        "localhost",
        "localhost:5000",
        "reg.example",
        "UP",
        "[::1]:80",
        "library",
        "a",
        "b-c",
    ]
)
TAGS = st.sampled_from(["", ":1", ":latest", f"@sha256:{'ab' * 32}", f":1@sha256:{'ab' * 32}"])


@given(st.lists(PARTS, min_size=1, max_size=4), TAGS)
def test_as_the_engine_does(parts: list[str], tag: str) -> None:
    text = "/".join(parts) + tag
    try:
        theirs = references.parse(text)
    except InvalidRequest:
        return
    ours = names.parse(text)
    assert (ours.repository, str(ours)) == (theirs.name, str(theirs))
    assert ours.wanted == (theirs.digest or theirs.tag)


@pytest.mark.parametrize(
    ("server", "key"),
    [
        (None, names.HUB_KEY),
        ("", names.HUB_KEY),
        ("docker.io", names.HUB_KEY),
        (names.HUB_KEY, names.HUB_KEY),
        ("localhost:5000", "localhost:5000"),
        ("http://localhost:5000", "localhost:5000"),
        ("https://reg.example/v2/", "reg.example"),
    ],
)
def test_where_a_login_is_kept(server: str | None, key: str) -> None:
    assert names.server_key(server) == key


@pytest.mark.parametrize(
    ("name", "key"), [("busybox", names.HUB_KEY), ("a/b:1", names.HUB_KEY), ("localhost:5000/a", "localhost:5000")]
)
def test_whose_login_a_name_needs(name: str, key: str) -> None:
    assert names.parse(name).key == key
