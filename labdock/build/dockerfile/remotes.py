"""Sources that ADD fetches (a URL, a git repository) and remote contexts: how their names are read. Pure.

``https://host/repository.git#ref:folder`` and ``…?ref=…&subdir=…``, as BuildKit's dfgitutil and gitutil read them.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, replace
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit, urlunsplit

_PROTOCOL = re.compile(r"([a-zA-Z0-9]+)://")
_SCP = re.compile(r"([a-zA-Z0-9\-_]+)@([a-zA-Z0-9\-.]+):(.*?)(?:\?(.*?))?(?:#(.*))?\Z", re.DOTALL)
_PROTOCOLS = ("http", "https", "ssh", "git")
_SWITCHES = ("submodules", "keep-git-dir", "fetch-by-commit")
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")
_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}


class BadSource(ValueError):
    """A source that looks like a repository or URL and can't be read as one; the text says why."""


@dataclass(frozen=True, slots=True)
class GitSource:
    """A repository. ``remote`` is what git fetches from; "" ref: its default branch; ``folder`` relative, "" all.

    ``checksum``: the commit, or its beginning, that ``ref`` must be. None: not said.
    """

    remote: str
    ref: str = ""
    folder: str = ""
    checksum: str = ""
    keep_git_dir: bool | None = None
    submodules: bool | None = None
    mtime: str = ""
    fetch_by_commit: bool = False
    plain: bool = False

    @property
    def name(self) -> str:
        return self.remote.rpartition("/")[2].removesuffix(".git")


@dataclass(frozen=True, slots=True)
class HttpSource:
    """A file at a URL. ``name`` is what it is called in a folder."""

    url: str
    name: str


def read_remote(text: str, *, context: bool = False) -> GitSource | HttpSource | None:
    """What *text* names elsewhere; None when it is a path. ``context``: ``github.com/…`` counts, too.

    Raises BadSource for a repository with a query that can't be read.
    """
    git = _read_git(text, context)
    if git is not None:
        return git
    if not text.startswith(("http://", "https://")):
        return None
    try:
        base = posixpath.basename(unquote(urlsplit(text).path).rstrip("/"))
    except ValueError:
        base = ""
    return HttpSource(text, base if base not in ("", ".", "..") else "__unnamed__")


def is_remote(text: str) -> bool:
    """Whether ADD would fetch *text* instead of taking it from the context."""
    try:
        return read_remote(text) is not None
    except BadSource:
        return True


def check_digest(text: str) -> str:
    """*text* if it is the digest ``--checksum`` takes for a URL. Raises BadSource in BuildKit's words."""
    algorithm, colon, digits = text.partition(":")
    if not colon or not algorithm or not digits:
        raise BadSource("invalid checksum digest format")
    if algorithm not in _LENGTHS:
        raise BadSource("unsupported digest algorithm")
    if len(digits) != _LENGTHS[algorithm]:
        raise BadSource("invalid checksum digest length")
    if not re.fullmatch("[0-9a-f]+", digits):
        raise BadSource("invalid checksum digest format")
    return text


def _read_git(text: str, context: bool) -> GitSource | None:
    if text.startswith(("./", "../")):
        return None
    if text.startswith("github.com/"):
        return _of_url(urlsplit("https://" + text), short=True) if context else None
    protocol = _PROTOCOL.match(text)
    if protocol is None:
        return _of_scp(text)
    if protocol[1].lower() not in _PROTOCOLS:
        return None
    try:
        url = urlsplit(text)
    except ValueError:
        return None
    if url.scheme in ("http", "https") and not unquote(url.path).endswith(".git"):
        return None
    return _of_url(url)


def _of_url(url: SplitResult, *, short: bool = False) -> GitSource:
    remote = urlunsplit((url.scheme, url.netloc, url.path, "", ""))
    return _make(remote, unquote(url.fragment), url.query, plain=not short and url.scheme in ("http", "git"))


def _of_scp(text: str) -> GitSource | None:
    found = _SCP.match(text)
    if found is None:
        return None
    return _make(f"{found[1]}@{found[2]}:{found[3]}", found[5] or "", found[4] or "", plain=False)


def _make(remote: str, fragment: str, query: str, *, plain: bool) -> GitSource:
    ref, _, folder = fragment.partition(":")
    fields: dict[str, str] = {"ref": ref, "subdir": posixpath.normpath("/" + folder).strip("/") if fragment else ""}
    switches = _read_query(query, fields)
    return GitSource(
        remote,
        fields["ref"],
        fields["subdir"],
        fields.get("checksum", ""),
        switches.get("keep-git-dir"),
        switches.get("submodules"),
        fields.get("mtime", ""),
        switches.get("fetch-by-commit", False),
        plain,
    )


def _read_query(query: str, fields: dict[str, str]) -> dict[str, bool]:
    """Take *query* into *fields*; gives its switches."""
    switches: dict[str, bool] = {}
    refs: dict[str, str] = {}
    seen: set[str] = set()
    for key, value in parse_qsl(query, keep_blank_values=True, max_num_fields=100):
        if key in seen:
            raise BadSource(f'query "{key}" has multiple values')
        seen.add(key)
        if not value and key not in _SWITCHES:
            raise BadSource(f'query "{key}" has no value')
        if key in _SWITCHES:
            if value not in ("", *_TRUE, *_FALSE):
                raise BadSource(f'invalid {key} value: "{value}"')
            switches[key] = value not in _FALSE
        elif key in ("ref", "subdir"):
            if fields[key] and fields[key] != value:
                raise BadSource(f'{key} conflicts: "{fields[key]}" vs "{value}"')
            fields[key] = value if key == "ref" else posixpath.normpath("/" + value).strip("/")
        elif key in ("tag", "branch"):
            refs[key] = value
        elif key in ("checksum", "commit"):
            fields["checksum"] = value
        elif key == "mtime":
            if value not in ("checkout", "commit"):
                raise BadSource(f'invalid mtime value: "{value}" (must be "checkout" or "commit")')
            fields["mtime"] = value
        else:
            raise BadSource(f'unexpected query "{key}"')
    if len(refs) > 1:
        raise BadSource("branch conflicts with tag")
    for key, value in refs.items():
        prefix = {"tag": "refs/tags/", "branch": "refs/heads/"}[key]
        full = value if value.startswith(prefix) else prefix + value
        if fields["ref"] and fields["ref"] != full:
            raise BadSource(f'ref conflicts: "{fields["ref"]}" vs "{full}"')
        fields["ref"] = full
    return switches


def settle(
    sources: tuple[str, ...], *, checksum: str = "", keep_git_dir: bool | None = None
) -> tuple[GitSource | HttpSource | None, ...]:
    """ADD's *sources*, variables replaced, with its flags taken in; None is a path. Raises BadSource."""
    read = tuple(read_remote(source) for source in sources)
    if checksum:
        if len(sources) != 1:
            raise BadSource("checksum can't be specified for multiple sources")
        if read[0] is None:
            raise BadSource("checksum requires HTTP(S) or Git sources")
        if isinstance(read[0], HttpSource):
            check_digest(checksum)
    return tuple(_settle_git(one, checksum, keep_git_dir) if isinstance(one, GitSource) else one for one in read)


def _settle_git(source: GitSource, checksum: str, keep_git_dir: bool | None) -> GitSource:
    if None not in (keep_git_dir, source.keep_git_dir) and keep_git_dir != source.keep_git_dir:
        raise BadSource("inconsistent keep-git-dir configuration")
    if checksum and source.checksum and checksum != source.checksum:
        raise BadSource(f'checksum mismatch "{checksum}" != "{source.checksum}"')
    keep = keep_git_dir if source.keep_git_dir is None else source.keep_git_dir
    return replace(source, checksum=source.checksum or checksum, keep_git_dir=keep)
