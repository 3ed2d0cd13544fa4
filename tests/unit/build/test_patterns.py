"""Path patterns as Go's filepath.Match and moby/patternmatcher have them."""

from __future__ import annotations

import pytest

from labdock.build.patterns import BadPattern, PathMatcher, read_ignore_file, translate_glob


@pytest.mark.parametrize(
    ("patterns", "path", "expected"),
    [
        (["**"], "file", True),
        (["**"], "dir/file", True),
        (["**/"], "file", True),
        (["**/**"], "dir/file", True),
        (["dir/**"], "dir/file", True),
        (["dir/**"], "dir/dir2/file", True),
        (["dir/**"], "dirx/file", False),
        (["**/dir"], "dir", True),
        (["**/dir"], "dir/file", True),
        (["**/dir2/*"], "dir/dir2/file", True),
        (["**/dir2/*"], "dir/dir2/file/x", True),
        (["**file"], "file", True),
        (["**file"], "dir/file", True),
        (["**/file"], "dir/xfile", False),
        (["**file"], "dir/xfile", True),
        (["**/*.txt"], "dir/file.txt", True),
        (["a**/*.txt"], "a/dir/file.txt", True),
        (["a/*.txt"], "a/dir/file.txt", False),
        (["a[b-d]e"], "ace", True),
        (["a[b-d]e"], "aae", False),
        (["abc.def"], "abcdef", False),
        (["abc.def"], "abc.def", True),
        (["abc?def"], "abcZdef", True),
        (["abc?def"], "abcdef", False),
        (["a\\*b"], "a*b", True),
        (["a\\*b"], "axb", False),
        (["**/foo/bar"], "foo/bar", True),
        (["**/foo/bar"], "dir/foo/bar", True),
        (["abc/**"], "abc", False),
        (["dir"], "dir/deep/file", True),
        (["*", "!keep"], "keep", False),
        (["*", "!keep"], "keep/file", False),
        (["*", "!keep"], "other", True),
        (["!keep", "*"], "keep", True),
        (["docs", "!docs/README.md"], "docs/README.md", False),
        (["docs", "!docs/README.md"], "docs/x", True),
        (["docs/*.md", "!docs/R*", "docs/R2"], "docs/R2", True),
        (["(a)+b|c{2}$^"], "(a)+b|c{2}$^", True),
        (["[^a]x"], "bx", True),
        (["[^a]x"], "ax", False),
        ([" spaced "], "spaced", True),
        (["./a/../b"], "b", True),
    ],
)
def test_path_matcher(patterns: list[str], path: str, expected: bool) -> None:
    matcher = PathMatcher(patterns)
    assert matcher.matches(path) is expected
    above: tuple[bool, ...] = ()
    matched = False
    parts = path.split("/")
    for count in range(len(parts)):
        matched, above = matcher.descend("/".join(parts[: count + 1]), above)
    assert matched is expected


@pytest.mark.parametrize("pattern", ["[", "[]", "[a", "a[", "[^", "[a-", "[-x]", "x\\", "[x\\"])
def test_bad_patterns(pattern: str) -> None:
    with pytest.raises(BadPattern):
        translate_glob(pattern)
    with pytest.raises(BadPattern):
        PathMatcher([pattern])


def test_a_lone_exclamation_mark_is_refused() -> None:
    with pytest.raises(BadPattern, match="illegal exclusion pattern"):
        PathMatcher(["!"])


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("*", ".hidden", True),
        ("a*", "abc", True),
        ("a*/b", "a/c/b", False),
        ("a*b*c*d*e*/f", "axbxcxdxe/f", True),
        ("a*b?c*x", "abxbbxdbxebxczzx", True),
        ("ab[c]", "abc", True),
        ("ab[b-d]", "abc", True),
        ("ab[e-g]", "abc", False),
        ("ab[^c]", "abc", False),
        ("ab[^e-g]", "abc", True),
        ("a\\*b", "a*b", True),
        ("a?b", "a☺b", True),
        ("a[^a]b", "a☺b", True),
        ("[\\]a]", "]", True),
        ("[\\-]", "-", True),
        ("[x\\-]", "z", False),
        ("[[]", "[", True),
        ("*x", "xxx", True),
        ("a\nb", "a\nb", True),
    ],
)
def test_globs(pattern: str, name: str, expected: bool) -> None:
    assert (translate_glob(pattern).match(name) is not None) is expected


def test_ignore_file() -> None:
    data = b"\xef\xbb\xbf# comment\n\n  /abs/path/  \n!/back\n ! spaced \n./a/../b\n  # no comment\n/\nx\r\n"
    assert read_ignore_file(data) == ["abs/path", "!back", "!spaced", "b", "# no comment", "/", "x"]
