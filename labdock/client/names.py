"""Image names as a client needs them: which registry a name means, and its full form. Pure.

The engine checks names against the grammar; here they are only taken apart.
"""

from __future__ import annotations

from dataclasses import dataclass

DOCKER_HUB = "docker.io"
#: Under this name Docker keeps the credentials of its Hub (moby's registry.IndexServer).
HUB_KEY = "https://index.docker.io/v1/"


@dataclass(frozen=True, slots=True)
class Name:
    """``domain/path:tag@digest``. ``tag`` and ``digest`` are empty when they were not given."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def repository(self) -> str:
        """``docker.io/library/busybox``."""
        return f"{self.domain}/{self.path}"

    @property
    def wanted(self) -> str:
        """What to ask a registry for: the digest, else the tag, else ``latest``."""
        return self.digest or self.tag or "latest"

    @property
    def key(self) -> str:
        """Under which name the credentials for its registry are kept."""
        return HUB_KEY if self.domain == DOCKER_HUB else self.domain

    def __str__(self) -> str:
        tag = self.tag or ("" if self.digest else "latest")
        return self.repository + (f":{tag}" if tag else "") + (f"@{self.digest}" if self.digest else "")


def parse(text: str) -> Name:
    """``busybox`` is ``docker.io/library/busybox``; a first part with a dot, a colon or capitals, and ``localhost``,
    is a registry (github.com/distribution/reference).
    """
    rest, _, digest = text.partition("@")
    before, colon, tag = rest.rpartition(":")
    name, tag = (before, tag) if colon and "/" not in tag else (rest, "")
    first, slash, path = name.partition("/")
    if not slash or not (set(".:") & set(first) or first == "localhost" or first != first.lower()):
        first, path = DOCKER_HUB, name
    if first == "index.docker.io":
        first = DOCKER_HUB
    if first == DOCKER_HUB and "/" not in path:
        path = f"library/{path}"
    return Name(first, path, tag, digest)


def server_key(text: str | None) -> str:
    """The name credentials of the registry *text* are kept under, as ``docker login`` makes it of its argument."""
    if not text or text in (DOCKER_HUB, HUB_KEY, "index.docker.io"):
        return HUB_KEY
    return host_of(text)


def host_of(address: str) -> str:
    """``reg.example:5000`` of ``https://reg.example:5000/v2/``."""
    return address.removeprefix("https://").removeprefix("http://").partition("/")[0]
