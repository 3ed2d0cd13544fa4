"""``kernel add``: from an image to a kernelspec, through an image built for it when that is wanted."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from labdock.errors import InvalidRequest, NoSuchImage
from labdock.kernels import probing, specs
from labdock.kernels.launching import read_mount
from labdock.kernels.specs import KernelSpec, Settings

if TYPE_CHECKING:
    from labdock.client import Client
    from labdock.kernels.probing import Found

#: What ``--install`` brings.
PACKAGES = ("ipykernel>=6.29", "ipywidgets>=8")
#: The engine puts its own socket in the place of these, whether they are there or not.
DOCKER_SOCKETS = ("/var/run/docker.sock", "/run/docker.sock")
#: pip's settings that go along from the user's environment; as secrets, since an address may have a password in it.
PIP_SETTINGS = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was asked for; see :func:`labdock.kernels.add`."""

    image: str
    name: str | None
    display_name: str | None
    mounts: tuple[str, ...]
    memory: int
    cpus: float
    network: str
    environment: dict[str, str]
    user: str
    python: str | None
    wheels: str | None
    provisioner: bool
    replace: bool
    api_socket: bool


def add(
    wish: Wish,
    *,
    install: bool,
    client: Client | None = None,
    report: Callable[[str], None] | None = None,
) -> KernelSpec:
    """See :func:`labdock.kernels.add`."""
    folder = specs.user_folder()
    name = specs.check_name(wish.name or specs.name_for(wish.image))
    wish = replace(wish, mounts=tuple(map(absolute, wish.mounts)))
    for variable in wish.environment:
        if not variable or "=" in variable or "\0" in variable:
            raise InvalidRequest(f"invalid environment variable: {variable!r}", hint="--env NAME=VALUE")
    if wish.api_socket and wish.user:
        raise InvalidRequest(
            f"the engine's socket is for its own user, and {wish.user} in a container is another",
            hint="leave --user away: the kernel is root in its container then, which is you outside",
        )
    if client is None:
        from labdock.client import connect

        with connect() as own:
            return _add(wish, folder / name, own, install=install, report=report)
    return _add(wish, folder / name, client, install=install, report=report)


def _add(
    wish: Wish, folder: Path, client: Client, *, install: bool, report: Callable[[str], None] | None
) -> KernelSpec:
    settings = Settings(
        image=wish.image,
        mounts=wish.mounts,
        network=wish.network,
        memory=wish.memory,
        nano_cpus=round(wish.cpus * 10**9),
        user=wish.user,
        variables=tuple(wish.environment),
        api_socket=wish.api_socket,
    )
    if wish.network and wish.network not in ("none", "bridge", "default", "host"):
        client.networks.inspect(wish.network)
    try:
        found = probing.choose(client, settings, wish.python)
        if install:
            settings = msgspec.structs.replace(settings, image=derive(client, settings, found, wish.wheels, report))
            found = probing.probe(client, msgspec.structs.replace(settings, python=found.python))
        probing.check(found, wish.image)
        settings = msgspec.structs.replace(
            settings, python=found.python, image_id=client.images.inspect(settings.image).id
        )
    except NoSuchImage as error:
        raise NoSuchImage(wish.image, hint=f"`labdock pull {wish.image}`, or build it") from error
    spec = KernelSpec(
        name=folder.name,
        display_name=wish.display_name or f"Python {found.version[0]}.{found.version[1]} in {wish.image}",
        settings=settings,
        folder=str(folder),
        language_version=found.language_version,
        debugger=bool(found.debugpy),
        provisioner=wish.provisioner,
        notes=found.notes,
    )
    specs.write(spec, wish.environment, replace=wish.replace)
    return spec


def absolute(mount: str) -> str:
    """*mount* with its source made absolute where it is a path. Raises InvalidRequest."""
    source, colon, rest = mount.partition(":")
    if source.startswith((".", "~", "/")):
        path = os.path.abspath(os.path.expanduser(source))
        if not os.path.exists(path) and path not in DOCKER_SOCKETS:
            raise InvalidRequest(f"invalid mount: {mount!r}: there is no {path}", hint="--mount SRC:DST[:ro]")
        mount = f"{path}{colon}{rest}"
    read_mount(mount)
    return mount


def derived_name(image: str) -> str:
    """``python-kernel:3.13`` for ``python:3.13``."""
    rest = image.partition("@")[0]
    before, colon, tag = rest.rpartition(":")
    path, tag = (before, tag) if colon and "/" not in tag else (rest, "latest")
    return f"{path}-kernel:{tag}"


def dockerfile_for(image: str, python: str, user: str, *, wheels: bool, settings: tuple[str, ...] = ()) -> str:
    """Instructions that install a kernel in *image* and leave its *user*; without a shell, which may be missing."""
    pip = [python, "-m", "pip", "install", "--no-cache-dir", "--disable-pip-version-check", "--no-input"]
    mounts = "".join(f"--mount=type=secret,id={name},env={name} " for name in settings)
    if wheels:
        pip += ["--no-index", "--find-links", "/labdock-wheels"]
        mounts += "--mount=type=bind,target=/labdock-wheels "
    command = msgspec.json.encode([*pip, *PACKAGES]).decode()
    lines = [
        f"FROM {image}",
        "USER 0:0",
        # quirk: Debian's pip refuses to install beside its packages; an image is nobody else's.
        "ARG PIP_BREAK_SYSTEM_PACKAGES=1 PIP_ROOT_USER_ACTION=ignore",
        f"RUN {mounts}{command}",
    ]
    return "\n".join([*lines, *([f"USER {user}"] if user else [])]) + "\n"


def derive(
    client: Client, settings: Settings, found: Found, wheels: str | None, report: Callable[[str], None] | None
) -> str:
    """Build the image with a kernel in it; its name. Raises BuildError, InvalidRequest."""
    from labdock.client import context
    from labdock.client.builds import Extras, finish
    from labdock.schema.build import StepOutput

    if not found.pip:
        raise InvalidRequest(
            f"{settings.image} has no pip to install ipykernel with",
            hint="build an image with ipykernel, on Debian: RUN apt-get update && apt-get install -y python3-ipykernel",
        )
    user = str((client.images.inspect(settings.image).raw.get("Config") or {}).get("User") or "")
    given = () if wheels else tuple(name for name in PIP_SETTINGS if os.environ.get(name))
    text = dockerfile_for(settings.image, found.python, user, wheels=bool(wheels), settings=given).encode()
    folder = Path(wheels).expanduser() if wheels else None
    made = context.from_folder(folder, text=text, force=True) if folder else context.from_text(text)
    name = derived_name(settings.image)

    def show(event: object) -> None:
        if report is not None and isinstance(event, StepOutput):
            report(event.text.rstrip("\n"))

    events = client.builds.build(
        iter(made),
        dockerfile=made.dockerfile,
        names=(name,),
        extras=Extras(secrets={variable: os.environ[variable].encode() for variable in given}),
    )
    finish(events, show)
    return name
