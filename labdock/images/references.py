"""Image references by Docker's rules. Pure.

``busybox`` is ``docker.io/library/busybox:latest``; a first component with a dot, a colon or the name ``localhost``
is a registry. The grammar is that of github.com/distribution/reference.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from labdock.errors import InvalidRequest

DEFAULT_DOMAIN = "docker.io"
_LEGACY_DOMAIN = "index.docker.io"
DEFAULT_TAG = "latest"

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DOMAIN_PART = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_DOMAIN_PART}(?:\.{_DOMAIN_PART})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PATH = rf"{_PART}(?:/{_PART})*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"sha256:[0-9a-f]{64}"
_REFERENCE = re.compile(rf"(?P<name>[^@]*?)(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{_DIGEST}))?", re.DOTALL)
_DOMAIN_ONLY = re.compile(_DOMAIN)
_PATH_ONLY = re.compile(_PATH)
_TAG_ONLY = re.compile(_TAG)
_ID = re.compile(r"[0-9a-f]{64}")
_MOST = 255


@dataclass(frozen=True, slots=True)
class Reference:
    """A name in full. ``tag`` is empty only when there is a digest instead."""

    domain: str
    path: str
    tag: str
    digest: str = ""

    @property
    def name(self) -> str:
        """Registry and path: ``docker.io/library/busybox``."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """As people write it: ``busybox``, ``user/app``, ``ghcr.io/a/b``."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        short = self.path.removeprefix("library/")
        return short if "/" not in short else self.path

    @property
    def familiar(self) -> str:
        """As Docker lists it: ``busybox:latest``, ``busybox@sha256:…``."""
        return self.familiar_name + self._rest

    def __str__(self) -> str:
        return self.name + self._rest

    @property
    def _rest(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse(text: str) -> Reference:
    """The reference that *text* means; the tag is ``latest`` when there is neither tag nor digest.

    Raises InvalidRequest with Docker's words (clients match on "invalid reference format").
    """
    if _ID.fullmatch(text):
        raise InvalidRequest(f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings")
    found = _REFERENCE.fullmatch(text)
    if not text or found is None:
        raise InvalidRequest("invalid reference format")
    domain, path = _split(found["name"])
    if path != path.lower() and _PATH_ONLY.fullmatch(path.lower()):
        raise InvalidRequest(f"invalid reference format: repository name ({path}) must be lowercase")
    if not _DOMAIN_ONLY.fullmatch(domain) or not _PATH_ONLY.fullmatch(path):
        raise InvalidRequest("invalid reference format")
    if len(domain) + len(path) + 1 > _MOST:
        raise InvalidRequest(f"repository name must not be more than {_MOST} characters")
    digest = found["digest"] or ""
    return Reference(domain, path, found["tag"] or ("" if digest else DEFAULT_TAG), digest)


def _split(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if not slash or not (set(".:") & set(first) or first == "localhost" or first != first.lower()):
        domain, path = DEFAULT_DOMAIN, name
    else:
        domain, path = first, rest
    if domain == _LEGACY_DOMAIN:
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = f"library/{path}"
    return domain, path


def join(repository: str, tag: str = "") -> Reference:
    """The reference of a repository and a tag that came apart, as ``/images/ID/tag`` has them."""
    if tag and not _TAG_ONLY.fullmatch(tag):
        raise InvalidRequest("invalid tag format")
    reference = parse(f"{repository}:{tag}" if tag else repository)
    if reference.digest:
        raise InvalidRequest("refusing to create a tag with a digest reference")
    return reference
