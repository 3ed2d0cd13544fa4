"""Kernelspecs: the folders in which Jupyter looks for kernels, as far as labdock has made them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from labdock.errors import Conflict, Forbidden, InvalidRequest, NotFound, SystemFailure, Unsupported

#: The entry point in the group ``jupyter_client.kernel_provisioners``.
PROVISIONER = "labdock-provisioner"
#: Under this name in a kernelspec's metadata is what labdock keeps there.
KEY = "labdock"
#: jupyter_client's own rule for names (jupyter_client.kernelspec._kernel_name_pat).
_NAME = re.compile(r"[a-z0-9._-]+", re.IGNORECASE)
_ICON = Path(__file__).with_name("logo-svg.svg")


class Settings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a kernel's container is made; the provisioner's traits and ``kernel launch``'s options have these names.

    ``image_id``: the image that was looked into, "" for none. ``mounts``: ``SRC:DST[:ro]``. ``memory`` in bytes.
    ``variables``: names of environment variables that go in from the front end's environment. ``api_socket``: whether
    the kernel has the engine's socket, with all that may be asked of it.
    """

    image: str
    image_id: str = ""
    python: str = "python3"
    mounts: tuple[str, ...] = ()
    network: str = ""
    memory: int = 0
    nano_cpus: int = 0
    user: str = ""
    variables: tuple[str, ...] = ()
    api_socket: bool = False


class KernelSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A kernel that labdock has made. ``folder``: where its kernel.json is; ``notes``: what to know about the image."""

    name: str
    display_name: str
    settings: Settings
    folder: str
    language_version: str = ""
    debugger: bool = False
    provisioner: bool = True
    notes: tuple[str, ...] = ()

    @property
    def image(self) -> str:
        return self.settings.image

    @property
    def network(self) -> str:
        """``default``, ``none`` or a network's name."""
        return self.settings.network or "default"


def name_for(image: str) -> str:
    """``python-3.13`` for ``docker.io/library/python:3.13``: the last part of the path, and the tag if it says more."""
    rest = image.partition("@")[0].rpartition("/")[2]
    path, _, tag = rest.partition(":")
    words = [path, tag if tag != "latest" else ""]
    return re.sub(r"[^a-z0-9._]+", "-", "-".join(filter(None, words)).lower()).strip("-.") or "image"


def check_name(name: str) -> str:
    """*name*. Raises InvalidRequest when Jupyter would not take it."""
    if not _NAME.fullmatch(name) or name.startswith("."):
        raise InvalidRequest(
            f"{name!r} can't be a kernel's name", hint="letters, digits, dots, dashes and underscores: --name NAME"
        )
    return name.lower()


def user_folder() -> Path:
    """Where this user's kernelspecs are. Raises Unsupported without Jupyter."""
    return Path(_jupyter_paths().jupyter_data_dir()) / "kernels"


def _jupyter_paths() -> Any:
    try:
        from jupyter_core import paths
    except ImportError as error:
        raise Unsupported("there is no Jupyter in this environment", hint="pip install 'labdock[notebook]'") from error
    return paths


def argv_for(settings: Settings, environment: Mapping[str, str]) -> list[str]:
    """The command of front ends that ignore provisioners. Values of *environment* are not in it: argv is no secret."""
    script = Path(sys.executable).with_name("labdock")
    own = (
        [str(script)] if os.access(script, os.X_OK) else [sys.executable, "-c", "from labdock.cli import main; main()"]
    )
    words = [*own, "kernel", "launch", "--image", settings.image, "-f", "{connection_file}"]
    given = {
        "--image-id": settings.image_id,
        "--python": settings.python if settings.python != "python3" else "",
        "--network": settings.network,
        "--memory": str(settings.memory or ""),
        "--cpus": _decimal(settings.nano_cpus),
        "--user": settings.user,
    }
    for option, value in given.items():
        words += [option, value] if value else []
    words += ["--use-api-socket"] if settings.api_socket else []
    for mount in settings.mounts:
        words += ["--mount", mount]
    for variable in environment:
        words += ["--env", variable]
    return words


def _decimal(nano_cpus: int) -> str:
    return f"{nano_cpus / 10**9:.9f}".rstrip("0").rstrip(".") if nano_cpus else ""


def document(spec: KernelSpec, environment: Mapping[str, str]) -> dict[str, Any]:
    """The kernel.json of *spec*."""
    metadata: dict[str, Any] = {
        "debugger": spec.debugger,
        KEY: {
            "version": 1,
            "settings": msgspec.to_builtins(spec.settings),
            "language_version": spec.language_version,
            "notes": spec.notes,
        },
    }
    if spec.provisioner:
        config = msgspec.to_builtins(spec.settings)
        metadata["kernel_provisioner"] = {"provisioner_name": PROVISIONER, "config": config}
    return {
        "argv": argv_for(spec.settings, environment),
        "display_name": spec.display_name,
        "language": "python",
        "interrupt_mode": "message",
        # quirk: jupyter_client expands $NAME in the values, by string.Template.
        "env": {name: value.replace("$", "$$") for name, value in environment.items()},
        "metadata": metadata,
    }


def write(spec: KernelSpec, environment: Mapping[str, str], *, replace: bool) -> None:
    """Make the folder of *spec*, whole or not at all. Raises Conflict when the name is another kernel's."""
    target = Path(spec.folder)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".labdock-", dir=target.parent))
    except OSError as error:
        raise SystemFailure(f"cannot write a kernelspec in {target.parent}: {error.strerror}") from error
    try:
        made.chmod(0o755)
        text = msgspec.json.format(msgspec.json.encode(document(spec, environment)), indent=1)
        file = made / "kernel.json"
        # Values of variables may be secrets: nobody else is to read them.
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if environment else 0o644)
        with os.fdopen(descriptor, "wb") as out:
            out.write(text + b"\n")
        shutil.copyfile(_ICON, made / _ICON.name)
        _put(made, target, spec, replace=replace)
    except OSError as error:
        raise SystemFailure(f"cannot write the kernelspec {target}: {error.strerror}") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _put(made: Path, target: Path, spec: KernelSpec, *, replace: bool) -> None:
    """Rename *made* to *target*, in the place of a labdock kernel with the same image, or to *replace* it."""
    if os.path.lexists(target):
        known = read(target)
        if known is None:
            raise Conflict(f"the kernel {spec.name} is there and not labdock's", hint="choose another: --name NAME")
        if not replace and known.image != spec.image:
            raise Conflict(
                f"the kernel {spec.name} runs in {known.image}", hint="--replace it, or choose another: --name NAME"
            )
        shutil.rmtree(target)
    made.rename(target)


def read(folder: Path) -> KernelSpec | None:
    """The kernelspec in *folder*; None when it is not labdock's or can't be read."""
    try:
        wire = msgspec.json.decode((folder / "kernel.json").read_bytes())
        own = wire["metadata"][KEY]
        return KernelSpec(
            name=folder.name.lower(),
            display_name=str(wire["display_name"]),
            settings=msgspec.convert(own["settings"], Settings),
            folder=str(folder),
            language_version=str(own.get("language_version", "")),
            debugger=bool(wire["metadata"].get("debugger")),
            provisioner="kernel_provisioner" in wire["metadata"],
            notes=tuple(map(str, own.get("notes", ()))),
        )
    except (OSError, msgspec.MsgspecError, KeyError, TypeError, AttributeError):
        return None


def find_all() -> list[KernelSpec]:
    """All that labdock has made, by name; of two with a name the one that Jupyter takes."""
    found: dict[str, KernelSpec] = {}
    for folder in _folders():
        spec = read(folder)
        if spec is not None:
            found.setdefault(spec.name, spec)
    return [found[name] for name in sorted(found)]


def _folders() -> Iterator[Path]:
    for root in _jupyter_paths().jupyter_path("kernels"):
        with contextlib.suppress(OSError):
            yield from sorted(path for path in Path(root).iterdir() if not path.name.startswith("."))


def remove(name: str) -> KernelSpec:
    """Raises NotFound when labdock has made no such kernel, Forbidden when its folder is somebody else's."""
    for folder in _folders():
        if folder.name.lower() == name.lower():
            spec = read(folder)
            if spec is None:
                raise NotFound(
                    f"the kernel {name} is not labdock's", hint=f"`jupyter kernelspec remove {name}` removes it"
                )
            try:
                shutil.rmtree(folder)
            except OSError as error:
                raise Forbidden(f"cannot remove {folder}: {error.strerror}") from error
            return spec
    raise NotFound(f"no such kernel: {name}", hint="`labdock kernel list` shows the kernels that labdock has made")
