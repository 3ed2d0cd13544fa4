"""What an image has for a kernel: found out by running its Python once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from labdock.client.programs import Finished
from labdock.errors import Conflict, InvalidRequest, LabdockError, NoSuchImage

if TYPE_CHECKING:
    from labdock.client import Client
    from labdock.kernels.specs import Settings

#: Interpreters that are tried when none was named.
PYTHONS = ("python3", "python")
#: The oldest Python that start_program is written for.
OLDEST = (3, 7)

PROGRAM = """
import importlib.util, json, sys
found = {"version": list(sys.version_info[:3])}
for name in ("ipykernel", "ipywidgets", "debugpy", "pip"):
    if importlib.util.find_spec(name) is None:
        continue
    try:
        from importlib.metadata import version
        found[name] = version(name)
    except Exception:
        found[name] = "?"
print("\\n" + json.dumps(found))
"""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The image's Python and the versions of what a kernel is made of; "" for what is not there, "?" for unknown."""

    python: str = "python3"
    version: tuple[int, int, int] = (0, 0, 0)
    ipykernel: str = ""
    ipywidgets: str = ""
    debugpy: str = ""
    pip: str = ""

    @property
    def language_version(self) -> str:
        return ".".join(map(str, self.version))

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know about the image."""
        major = re.match(r"\d+", self.ipywidgets)
        if major and int(major[0]) < 8:
            return (f"its ipywidgets {self.ipywidgets} is older than 8: widgets fail in nbclient (--install brings 8)",)
        return ()


class NoInterpreter(InvalidRequest):
    """The image has no such program."""


def probe(client: Client, settings: Settings) -> Found:
    """Run the interpreter of *settings* in its image. Raises NoInterpreter, NoSuchImage, InvalidRequest."""
    from labdock.client.programs import RunOptions
    from labdock.kernels.launching import read_mount

    volumes = {}
    for mount in map(read_mount, settings.mounts):
        volumes[mount.source] = f"{mount.target}:ro" if mount.read_only else mount.target
    options = RunOptions(
        entrypoint=(settings.python,), network="none", volumes=volumes, user=settings.user or "0:0", workdir="/"
    )
    try:
        done = client.containers.run(settings.image, ("-c", PROGRAM), check=False, pull="never", **options)
    except NoSuchImage as error:
        raise NoSuchImage(settings.image, hint=f"`labdock pull {settings.image}`, or build it") from error
    except LabdockError as error:
        if _is_missing(error):
            raise _no_python(settings) from error
        raise
    return _read(done, settings)


def _is_missing(error: LabdockError) -> bool:
    words = ("executable file not found", "no such file or directory", "not a directory")
    return any(word in error.message.lower() for word in words) and not isinstance(error, Conflict)


def _no_python(settings: Settings) -> NoInterpreter:
    return NoInterpreter(
        f"{settings.image} has no {settings.python}",
        hint="take an image with Python in it, or say where it is: labdock kernel add --python PATH IMAGE",
    )


def _read(done: Finished, settings: Settings) -> Found:
    lines = done.stdout.decode("utf-8", "replace").strip().splitlines()
    try:
        if done.exit_code:
            raise ValueError(done.exit_code)
        found = msgspec.convert(msgspec.json.decode(lines[-1]) | {"python": settings.python}, Found)
    except (IndexError, TypeError, ValueError) as error:
        if done.exit_code in (126, 127):
            raise _no_python(settings) from error
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise InvalidRequest(
            f"{settings.python} in {settings.image} does not run as Python" + (f": {said[0]}" if said else ""),
            hint="--python names the interpreter in the image",
        ) from error
    if found.version[:2] < OLDEST:
        raise InvalidRequest(
            f"{settings.image} has Python {found.language_version}, kernels need {OLDEST[0]}.{OLDEST[1]} or newer",
            hint="--python names another interpreter in the image",
        )
    return found


def choose(client: Client, settings: Settings, python: str | None) -> Found:
    """What is found with *python*, or with the first of PYTHONS that is there."""
    failure: NoInterpreter | None = None
    for name in (python,) if python else PYTHONS:
        try:
            return probe(client, msgspec.structs.replace(settings, python=name))
        except NoInterpreter as error:
            failure = failure or error
    assert failure is not None
    raise failure


def check(found: Found, image: str) -> Found:
    """*found*. Raises InvalidRequest without ipykernel."""
    if not found.ipykernel:
        raise InvalidRequest(
            f"{image} has no ipykernel",
            hint=f"`labdock kernel add {image} --install` builds an image that has it",
        )
    return found
