"""Platforms: reading ``os/architecture/variant``, and which entry of an index fits best. Pure.

Spellings and defaults are containerd's (platforms/database.go, platforms/compare.go), which Docker uses too.
"""

from __future__ import annotations

import platform as machine
import re
from collections.abc import Iterable, Iterator

from labdock.errors import InvalidRequest, NotFound
from labdock.schema.oci import Descriptor, ImageConfig, Platform

_ARCHITECTURES = {
    "x86_64": ("amd64", ""), "x86-64": ("amd64", ""), "aarch64": ("arm64", ""), "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"), "armv6l": ("arm", "v6"), "armv7l": ("arm", "v7"), "armv8l": ("arm", "v8"),
    "i386": ("386", ""), "i686": ("386", ""),
}  # fmt: skip
#: What an architecture is when no variant is said.
_VARIANTS = {"arm64": "v8", "arm": "v7", "amd64": "v1"}
#: Variants that run on one another: the later ones run all before them.
_LADDERS = {"arm": ("v5", "v6", "v7", "v8"), "arm64": ("v8", "v9"), "amd64": ("v1", "v2", "v3", "v4")}
_SYSTEMS = {"macos": "darwin"}
_KNOWN_SYSTEMS = frozenset("linux windows darwin freebsd netbsd openbsd solaris android js wasi".split())
_KNOWN_ARCHITECTURES = frozenset(
    (
        "386 amd64 amd64p32 arm armbe arm64 arm64be ppc64 ppc64le loong64 mips mipsle mips64 mips64le mips64p32"
        " mips64p32le ppc riscv riscv64 s390 s390x sparc sparc64 wasm"
    ).split()
)
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,40}")


def native() -> Platform:
    """This machine's."""
    architecture, variant = _ARCHITECTURES.get(machine.machine(), (machine.machine(), ""))
    return Platform(os="linux", architecture=architecture, variant=variant)


def parse(text: str) -> Platform:
    """``linux/arm64/v8``, ``arm64`` or ``linux`` as a platform. Raises InvalidRequest."""
    parts = text.split("/")
    if not 1 <= len(parts) <= 3 or not all(_WORD.fullmatch(part) for part in parts):
        raise InvalidRequest(f"invalid platform {text!r}: it is OS[/ARCHITECTURE[/VARIANT]], such as linux/arm64")
    first = _SYSTEMS.get(parts[0].lower(), parts[0].lower())
    if len(parts) > 1:
        return normalize(Platform(os=first, architecture=parts[1], variant=parts[2] if len(parts) > 2 else ""))
    if first in _KNOWN_SYSTEMS:
        return Platform(os=first, architecture=native().architecture, variant=native().variant)
    found = normalize(Platform(os="linux", architecture=first))
    if found.architecture not in _KNOWN_ARCHITECTURES:
        raise InvalidRequest(
            f'"{text}": unknown operating system or architecture: invalid argument',
            hint="OS[/ARCHITECTURE[/VARIANT]], such as linux/arm64",
        )
    return found


def normalize(platform: Platform) -> Platform:
    """*platform* in Docker's spelling, without a variant that says nothing more than the architecture."""
    architecture, variant = platform.architecture.lower(), platform.variant.lower()
    known, implied = _ARCHITECTURES.get(architecture, (architecture, ""))
    variant = variant or implied
    if variant.isdigit():
        variant = f"v{variant}"
    if known in ("amd64", "arm64") and variant == _VARIANTS[known]:
        variant = ""
    if known == "arm" and not variant:
        variant = "v7"
    return Platform(os=platform.os.lower(), architecture=known, variant=variant, os_version=platform.os_version)


def show(platform: Platform) -> str:
    """``linux/arm/v7``."""
    return "/".join(filter(None, (platform.os, platform.architecture, platform.variant)))


def of_config(config: ImageConfig) -> Platform:
    return Platform(os=config.os, architecture=config.architecture, variant=config.variant)


def fits(offered: Platform, wanted: Platform) -> bool:
    """Whether what is made for *offered* runs on *wanted*."""
    return any(candidate == _bare(offered) for candidate in _candidates(wanted))


def choose(descriptors: Iterable[Descriptor], wanted: Platform, name: str) -> Descriptor:
    """The entry of an index that is best for *wanted*: the nearest variant that runs on it, then the first.

    Entries that are no images (attestations, ``unknown/unknown``) are passed over. NotFound, with Docker's words.
    """
    offered = [x for x in descriptors if not is_attestation(x)]
    for candidate in _candidates(wanted):
        for descriptor in offered:
            if descriptor.platform is not None and _bare(descriptor.platform) == candidate:
                return descriptor
    bare = [x for x in offered if x.platform is None]
    if len(offered) == 1 and bare:
        return bare[0]
    there = ", ".join(sorted({show(normalize(x.platform)) for x in offered if x.platform})) or "none"
    raise NotFound(
        f"no matching manifest for {show(wanted)} in the manifest list entries",
        hint=f"{name} has images for: {there}; --platform asks for one of them",
    )


def is_attestation(descriptor: Descriptor) -> bool:
    """Whether an index's entry says something about an image and is none (BuildKit's provenance and SBOMs)."""
    marked = descriptor.annotations.get("vnd.docker.reference.type") == "attestation-manifest"
    return marked or (descriptor.platform is not None and descriptor.platform.os == "unknown")


def _bare(platform: Platform) -> tuple[str, str, str]:
    plain = normalize(platform)
    return plain.os, plain.architecture, plain.variant or _VARIANTS.get(plain.architecture, "")


def _candidates(wanted: Platform) -> Iterator[tuple[str, str, str]]:
    """What runs on *wanted*, the best first."""
    system, architecture, variant = _bare(wanted)
    ladder = _LADDERS.get(architecture, ())
    if variant not in ladder:
        yield system, architecture, variant
        return
    for below in reversed(ladder[: ladder.index(variant) + 1]):
        yield system, architecture, below
    if architecture == "arm64" and variant == "v8":
        yield from ((system, "arm", below) for below in reversed(_LADDERS["arm"]))
