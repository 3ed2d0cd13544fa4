"""``--platform`` where an image is named that is here: this engine keeps one platform of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from labdock.errors import InvalidRequest, NotFound

if TYPE_CHECKING:
    from labdock.commands.face import Face

platform_option = click.option("--platform", help='The platform meant, as "os[/arch[/variant]]" (e.g. "linux/amd64")')
#: The names that are one (containerd/platforms).
SAME = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "armhf": "arm", "i386": "386"}


def parse(text: str) -> dict[str, str]:
    """``{"os": …, "architecture": …, "variant": …}``, without what was not said. Raises InvalidRequest."""
    parts = text.lower().split("/")
    if not 1 <= len(parts) <= 3 or not all(part.replace("_", "").replace("-", "").isalnum() for part in parts):
        raise InvalidRequest(f'invalid platform: "{text}"', hint="os[/arch[/variant]], such as linux/arm64/v8")
    if len(parts) > 1:
        parts[1] = SAME.get(parts[1], parts[1])
    return dict(zip(("os", "architecture", "variant"), parts, strict=False))


def check(face: Face, name: str, text: str | None) -> None:
    """Raises NotFound, in Docker's words, when the image *name* is another platform's than *text*."""
    if not text:
        return
    wanted = parse(text)
    raw = face.client.images.inspect(name).raw
    have = {"os": raw.get("Os", ""), "architecture": raw.get("Architecture", ""), "variant": raw.get("Variant") or ""}
    # A variant that the image does not name may be any.
    if any(have[part] != value for part, value in wanted.items() if part != "variant" or have[part]):
        raise NotFound(
            f"image with reference {name} was found but does not provide the specified platform ({text})",
            hint=f"it is {'/'.join(filter(None, have.values()))}; `pull --platform {text} {name}` gets the other",
        )
