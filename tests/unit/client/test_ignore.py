"""``.dockerignore``: moby/patternmatcher's meaning."""

from __future__ import annotations

import pytest

from labdock.client.ignore import Matcher, read_patterns
from labdock.errors import InvalidRequest


@pytest.mark.parametrize(
    ("patterns", "path", "ignored"),
    [
        ("a", "a", True),
        ("a", "a/b/c", True),
        ("a", "ab", False),
        ("a", "b/a", False),
        ("/a", "a", True),
        ("a/", "a/b", True),
        ("./a", "a", True),
        ("a/../b", "b", True),
        ("*.md", "x.md", True),
        ("*.md", "d/x.md", False),
        ("*/*.md", "d/x.md", True),
        ("**/*.md", "x.md", True),
        ("**/*.md", "a/b/c/x.md", True),
        ("**", "anything/at/all", True),
        ("a/**", "a/b/c", True),
        ("a/**", "a", False),
        ("a/**/z", "a/z", True),
        ("a/**/z", "a/b/c/z", True),
        ("?.txt", "a.txt", True),
        ("?.txt", "ab.txt", False),
        ("a?b", "a/b", False),
        ("[ab].txt", "b.txt", True),
        ("[^ab].txt", "b.txt", False),
        (r"\*.txt", "*.txt", True),
        (r"\*.txt", "a.txt", False),
        ("a.b", "axb", False),
        ("a+b", "a+b", True),
        ("$x", "$x", True),
        ("*.md\n!README.md", "README.md", False),
        ("*.md\n!README.md", "other.md", True),
        ("!README.md\n*.md", "README.md", True),
        ("docs\n!docs/keep", "docs/keep/x", False),
        ("docs\n!docs/keep", "docs/other", True),
        ("*\n!a\na/b", "a/b", True),
        ("*\n!a\na/b", "a/c", False),
        ("# a comment\na", "# a comment", False),
        ("  a  ", "a", True),
        ("\ufeffa", "a", True),
        ("", "a", False),
        ("a\nb", "a\nb", False),
        (".", "a", False),
    ],
)
def test_table(patterns: str, path: str, ignored: bool) -> None:
    assert Matcher(read_patterns(patterns)).ignores(path) is ignored


@pytest.mark.parametrize("text", ["[a", "!"])
def test_broken_patterns_are_named(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"pattern"):
        Matcher(read_patterns(text))


def test_ignored_folders_are_walked_only_when_something_may_come_back() -> None:
    assert not Matcher(read_patterns("a")).may_keep_below("a")
    assert Matcher(read_patterns("a\n!a/b/c")).may_keep_below("a")
    assert Matcher(read_patterns("a\n!a/b/c")).may_keep_below("a/b")
    assert not Matcher(read_patterns("a\n!b")).may_keep_below("a")
    assert Matcher(read_patterns("a\n!**/*.md")).may_keep_below("a")
