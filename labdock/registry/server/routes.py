"""From a request's method and path to what is asked for. Pure.

The paths are those of the distribution-spec v1.1 ("Endpoints") and ``/v2/_catalog``, which
github.com/distribution/distribution has and tools list a registry with.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote

from labdock.registry.server.refusals import Code, Refusal
from labdock.schema.ids import is_digest


class Resource(StrEnum):
    BASE = "base"
    CATALOG = "catalog"
    TAGS = "tags"
    MANIFEST = "manifest"
    BLOB = "blob"
    UPLOADS = "uploads"
    UPLOAD = "upload"
    REFERRERS = "referrers"


@dataclass(frozen=True, slots=True)
class Route:
    """``name``: the repository; ``reference``: a tag, a digest or an upload's id, as the resource has it."""

    resource: Resource
    name: str = ""
    reference: str = ""

    @property
    def allowed(self) -> tuple[str, ...]:
        return _METHODS[self.resource]


_METHODS: dict[Resource, tuple[str, ...]] = {
    Resource.BASE: ("GET", "HEAD"),
    Resource.CATALOG: ("GET",),
    Resource.TAGS: ("GET",),
    Resource.MANIFEST: ("GET", "HEAD", "PUT", "DELETE"),
    Resource.BLOB: ("GET", "HEAD", "DELETE"),
    Resource.UPLOADS: ("POST",),
    Resource.UPLOAD: ("GET", "PATCH", "PUT", "DELETE"),
    Resource.REFERRERS: ("GET",),
}
#: The methods that change something.
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})

_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_UPLOAD = re.compile(r"[0-9a-f]{32}")
_LONGEST_NAME = 255
#: The longest path that is looked at: a name, a digest and the words between.
_LONGEST_PATH = 1024


def parse(method: str, path: str) -> Route:
    """What *method* on the raw *path* asks for.

    Raises Refusal: NAME_INVALID, DIGEST_INVALID, MANIFEST_INVALID (a tag that is none), BLOB_UPLOAD_UNKNOWN,
    UNSUPPORTED (with ``Allow``), NAME_UNKNOWN with 404 for a path that is no endpoint.
    """
    route = _locate(path)
    if method not in route.allowed:
        raise Refusal(
            Code.UNSUPPORTED,
            f"{method[:20]} is not served on {route.resource.value}",
            headers={"Allow": ", ".join(route.allowed)},
        )
    return route


def _locate(path: str) -> Route:
    if len(path) > _LONGEST_PATH:
        raise Refusal(Code.NAME_INVALID, f"the path has {len(path)} characters; at most {_LONGEST_PATH} are taken")
    plain = unquote(path)
    if plain in ("/v2", "/v2/"):
        return Route(Resource.BASE)
    if plain == "/v2/_catalog":
        return Route(Resource.CATALOG)
    if not plain.startswith("/v2/"):
        raise Refusal(Code.NAME_UNKNOWN, "a registry serves paths below /v2/ only", http=404)
    rest = plain[4:]
    # From the end, because a repository's name may hold the words itself.
    head, _, last = rest.rpartition("/")
    above, _, word = head.rpartition("/")
    if rest.endswith("/blobs/uploads/"):
        return Route(Resource.UPLOADS, _name(rest.removesuffix("/blobs/uploads/")))
    if rest.endswith("/blobs/uploads"):
        return Route(Resource.UPLOADS, _name(rest.removesuffix("/blobs/uploads")))
    if head.endswith("/blobs/uploads"):
        if not _UPLOAD.fullmatch(last):
            raise Refusal(Code.BLOB_UPLOAD_UNKNOWN, "there is no such upload")
        return Route(Resource.UPLOAD, _name(head.removesuffix("/blobs/uploads")), last)
    if word == "tags" and last == "list":
        return Route(Resource.TAGS, _name(above))
    if word == "blobs":
        return Route(Resource.BLOB, _name(above), check_digest(last))
    if word == "referrers":
        return Route(Resource.REFERRERS, _name(above), check_digest(last))
    if word == "manifests":
        return Route(Resource.MANIFEST, _name(above), _reference(last))
    raise Refusal(Code.NAME_UNKNOWN, "no endpoint of a registry has this path", http=404)


def _name(name: str) -> str:
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        raise Refusal(Code.NAME_INVALID, f"not a repository's name: {name[:100]!r}")
    return name


def is_name(name: str) -> bool:
    """Whether a repository can have this name: an image's may hold a port, which none can."""
    return len(name) <= _LONGEST_NAME and _NAME.fullmatch(name) is not None


def check_digest(digest: str) -> str:
    """*digest*, which must be sha256's. Raises Refusal (DIGEST_INVALID)."""
    if not is_digest(digest):
        raise Refusal(Code.DIGEST_INVALID, f"not a sha256 digest: {digest[:100]!r}")
    return digest


def _reference(text: str) -> str:
    if ":" in text:
        return check_digest(text)
    if not _TAG.fullmatch(text):
        raise Refusal(Code.MANIFEST_INVALID, f"not a tag: {text[:150]!r}")
    return text
