"""What ``POST /build`` asks for, apart from the context it sends. Times in seconds, sizes in bytes."""

from __future__ import annotations

import msgspec


class BuildQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A build request's parameters.

    ``dockerfile`` is relative to the context; ``names`` the tags wanted, as sent. ``build_args``: None is a name
    that the client gave no value (``--build-arg X``). ``cache_from`` None: every image may be a cache; else only
    those named, and an unknown name means no cache. ``remote`` is a URL in place of a context ("": the body is it).
    ``quiet``: only the image id is wanted. ``rm``/``force_rm`` remove step containers after success/always.
    ``registry_config`` is the X-Registry-Config header: credentials for registries that bases come from.
    ``extra`` has every parameter that has no field here, as text, so that nothing sent is lost.
    """

    dockerfile: str = "Dockerfile"
    names: tuple[str, ...] = ()
    build_args: dict[str, str | None] = {}
    labels: dict[str, str] = {}
    target: str = ""
    no_cache: bool = False
    pull: bool = False
    network: str = "default"
    platform: str = ""
    remote: str = ""
    quiet: bool = False
    rm: bool = True
    force_rm: bool = False
    cache_from: tuple[str, ...] | None = None
    extra_hosts: tuple[str, ...] = ()
    squash: bool = False
    shm_size: int = 0
    registry_config: str = ""
    extra: dict[str, str] = {}
