"""What ``POST /build`` asks for, apart from the context it sends. Times in seconds, sizes in bytes.

``POST /labdock/build`` is the same with what the classic call can't carry. Its query has all of the classic
parameters, and (each optional):

- ``contexts``: JSON ``{name: value}``; a value is ``docker-image://REF``, a URL (tar, Dockerfile or git; ``https://``,
  ``http://``), ``part`` (a folder, sent as a tar in a part of that name) or ``oci-layout`` (an OCI layout, likewise).
- ``ssh``: JSON ``{id: path of an agent's socket}``, absolute, on the client's machine. Keys themselves are not sent.
- ``outputs``: JSON list of ``{"type": "local" | "tar" | "oci"}``; where it goes is the client's affair, see below.
- ``cacheto``: JSON list of ``{"type": "local", "mode": "min" | "max"}``; ``cachefromparts``: JSON list of part names.
- ``explain=1``, ``check=1`` (only the checks), ``reproducible=1`` (SOURCE_DATE_EPOCH is 0 unless given),
  ``provenance=1`` (in an ``oci`` output), ``debug=1`` (an image of the state before a RUN that fails).
- ``remote``: as in the classic call; then the main context's part is left out.

Its body (``Content-Type: application/vnd.labdock.build``) is parts, one after the other. A part is frames: a frame is
its length, four bytes big-endian, and that many bytes (at most 1 MiB). The first frame of a part is JSON,
``{"part": KIND, "name": NAME}``; then data frames; a frame of length 0 ends the part. Kinds: ``secret`` (its bytes, at
most 500 KiB; NAME is the id), ``context`` (a tar; NAME as in ``contexts``), ``cache`` (a tar of an OCI layout; NAME as
in ``cachefromparts``), ``main`` (the context's tar; the last one). Secrets come before all others.

The answer is typed build events, a JSON line each. For each output and each ``cacheto`` there is, before ``built``, an
``exported`` event with a ``token``: ``GET /labdock/build/exports/{token}`` gives the tar (the files of the image for
local and tar; an OCI layout for oci and a cache), once, within two minutes of the build's end.
"""

from __future__ import annotations

import msgspec

from labdock.schema.container import HostConfig


class BuildQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A build request's parameters.

    ``dockerfile`` is relative to the context; ``names`` the tags wanted, as sent. ``build_args``: None is a name
    that the client gave no value (``--build-arg X``). ``cache_from`` None: every image may be a cache; else only
    those named, and an unknown name means no cache. ``remote`` is a URL in place of a context ("": the body is it).
    ``quiet``: only the image id is wanted. ``rm``/``force_rm`` remove step containers after success/always.
    ``registry_config`` is the X-Registry-Config header: credentials for registries that bases come from.
    ``outputs``: local, tar or oci each; ``cache_to``: min or max each; the rest as in the module's text.
    ``limits``: what RUN steps are held to, memory, processors and ulimits of it.
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
    limits: HostConfig = HostConfig()
    registry_config: str = ""
    contexts: dict[str, str] = {}
    agents: dict[str, str] = {}
    outputs: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()
    cache_parts: tuple[str, ...] = ()
    explain: bool = False
    check: bool = False
    reproducible: bool = False
    provenance: bool = False
    debug: bool = False
    extra: dict[str, str] = {}
