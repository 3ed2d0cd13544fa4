"""An image with a Python and ipykernel in it, made of this machine's own: no network, no distribution.

The tests' interpreter, its standard library, the libraries that they load, and the modules a kernel needs, each at the
place it has here. A tar for ``docker import``.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import IO

#: Where the modules are in the image.
SITE = "/opt/kernel"
#: What is left out of the standard library.
UNUSED = {"test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "site-packages", "dist-packages"}
#: Of the requirements of ipykernel, what a kernel can do without.
LEFT_OUT = {"widgetsnbextension", "jupyterlab-widgets"}


def closure(names: Iterable[str]) -> dict[str, Distribution]:
    """The installed distributions that *names* need, themselves among them."""
    found: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found or name in LEFT_OUT:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue  # For another platform or Python.
        for line in found[name].requires or ():
            if "extra ==" not in line:
                waiting.append(re.split(r"[^\w.-]", line, maxsplit=1)[0])
    return found


def module_files(parts: Distribution) -> Iterator[tuple[str, Path]]:
    """(name below site-packages, path) of the files of a distribution; scripts are left out."""
    if parts.metadata["Name"] == "labdock":
        yield from _own_files()
    for file in parts.files or ():
        path = Path(str(parts.locate_file(file)))
        if ".." not in file.parts and path.is_file():
            yield str(file), path


def _own_files() -> Iterator[tuple[str, Path]]:
    """labdock's modules: it is installed as a checkout. The JavaScript is of no use in a kernel."""
    root = Path(__file__).parents[1]
    for path in sorted((root / "labdock").rglob("*")):
        inner = path.relative_to(root)
        if path.is_file() and not {"labextension", "__pycache__"} & set(inner.parts):
            yield str(inner), path


def _libraries(paths: Iterable[str]) -> set[str]:
    """What the dynamic linker loads for *paths*."""
    done = subprocess.run(["ldd", *sorted(paths)], capture_output=True, text=True, check=False, timeout=60)
    return set(re.findall(r"(?:=> |^\s+)(/\S+) \(0x", done.stdout, re.MULTILINE))


def interpreter() -> str:
    """The tests' interpreter, without the environment around it."""
    return os.path.realpath(sys.executable)


def _library_files() -> Iterator[Path]:
    library = Path(sysconfig.get_path("stdlib"))
    for folder, folders, files in os.walk(library):
        folders[:] = [name for name in folders if name not in UNUSED and not name.startswith("config-")]
        yield from (Path(folder) / name for name in files)


class _Writer:
    """A tar of root's files, each once."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._names: set[str] = set()
        self.shared: set[str] = set()

    def add(self, path: Path, place: str) -> None:
        """The file *path* at *place*."""
        name = place.lstrip("/")
        if name in self._names:
            return
        self._names.add(name)
        if ".so" in path.name:
            self.shared.add(str(path))
        info = self._tar.gettarinfo(path, name)
        info.uid = info.gid = 0
        info.uname = info.gname = "root"
        info.mode |= 0o444
        with open(path, "rb") as source:
            self._tar.addfile(info, source)

    def add_text(self, name: str, text: str) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(text), 0o644
        self._tar.addfile(entry, io.BytesIO(text.encode()))

    def add_entry(self, name: str, kind: bytes, *, mode: int = 0o755, link: str = "") -> None:
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.linkname = kind, mode, link
        self._tar.addfile(entry)


def write_tar(out: IO[bytes], packages: Iterable[str], leaving_out: Iterable[str] = ()) -> None:
    """The image's files, with *packages* and what they need, but *leaving_out*. ``python3`` is in /bin."""
    with tarfile.open(fileobj=out, mode="w|") as tar:
        writer = _Writer(tar)
        for path in _library_files():
            if path.is_file():
                writer.add(path.resolve(), str(path))
        for name, parts in closure(packages).items():
            if name in leaving_out:
                continue
            for inner, path in module_files(parts):
                writer.add(path, f"{SITE}/{inner}")
        for library in sorted(_libraries({interpreter(), *writer.shared})):
            if not library.startswith(sys.prefix + os.sep):
                writer.add(Path(library).resolve(), library)
        writer.add(Path(interpreter()), interpreter())
        for folder in ("dev", "etc", "proc", "root", "sys", "tmp"):
            writer.add_entry(folder, tarfile.DIRTYPE, mode=0o1777 if folder == "tmp" else 0o755)
        writer.add_text("etc/passwd", "root:x:0:0::/root:/bin/sh\npupil:x:1000:1000::/tmp:/bin/sh\n")
        writer.add_text("etc/group", "root:x:0:\npupil:x:1000:\n")
        writer.add_entry("bin/python3", tarfile.SYMTYPE, link=interpreter())


def write_wheel(name: str, folder: Path) -> Path:
    """The installed distribution *name* as a wheel again."""
    parts = distribution(name)
    spelled = re.sub(r"[-_.]+", "_", parts.metadata["Name"])
    wheel = folder / f"{spelled}-{parts.version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as out:
        for inner, path in module_files(parts):
            if not inner.endswith((".pyc", "/RECORD", "/INSTALLER", "/REQUESTED", "/direct_url.json")):
                out.write(path, inner)
        info = next(inner for inner, _ in module_files(parts) if inner.endswith(".dist-info/METADATA"))
        out.writestr(info.replace("METADATA", "RECORD"), "".join(f"{file},,\n" for file in out.namelist()))
    return wheel
