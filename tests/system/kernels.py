"""Kernels in images, for the tests: an engine with such an image, and Jupyter's folders of their own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from jupyter_client.manager import KernelManager

from tests import kernel_image, stores

from .conftest import EngineUnderTest, short_folder, wait_until
from .test_notebook import Kernel

#: An image with everything, and one with pip and all that ipykernel needs, but without it.
IMAGE, BARE = "kernel:1", "bare"
CHANGES = [f"ENV PATH=/bin PYTHONPATH={kernel_image.SITE}"]
IPYKERNEL = ("ipykernel", "ipywidgets")
LABEL = "labdock.kernel"


class Classroom:
    """An engine, images to make kernels of, and folders. ``root`` is short."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.engine = EngineUnderTest(root, **self.variables(root))
        self.engine.environment.pop("DOCKER_HOST")
        self.notebooks = root / "notebooks"
        self.places = self.engine.run / "k"

    @staticmethod
    def variables(root: Path) -> dict[str, str]:
        names = {"JUPYTER_DATA_DIR": "jd", "JUPYTER_RUNTIME_DIR": "jr", "JUPYTER_CONFIG_DIR": "jc", "IPYTHONDIR": "ip"}
        return {name: str(root / folder) for name, folder in names.items()} | {"HOME": str(root)}

    def docker(self, *words: str, check: bool = True) -> str:
        return self.engine.docker("-H", self.engine.url, *words, check=check)

    def labdock(self, *words: str, check: bool = True) -> str:
        """The command's output, and what it says when it fails."""
        done = subprocess.run(
            [*labdock_command(), *words],
            env=self.engine.environment,
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert not check or done.returncode == 0, done.stderr
        return (done.stdout if done.returncode == 0 else done.stderr).strip()

    def containers(self) -> list[str]:
        return self.docker("ps", "-aq", "--filter", f"label={LABEL}").split()

    def left(self) -> list[str]:
        """Containers of kernels, and files and sockets in their folders."""
        return self.containers() + [str(path) for path in self.places.glob("*/*")]

    def import_image(self, name: str, *packages: str, leaving_out: tuple[str, ...] = ()) -> None:
        import_image(self.engine, name, *packages, leaving_out=leaving_out)


def import_image(
    engine: EngineUnderTest, name: str, *packages: str, leaving_out: tuple[str, ...] = (), changes: Sequence[str] = ()
) -> None:
    """An image with Python and *packages* (see tests/kernel_image.py) in *engine*."""
    with tempfile.TemporaryFile(dir=engine.data.parent) as tar:
        kernel_image.write_tar(tar, packages, leaving_out=leaving_out)
        tar.seek(0)
        words = [word for change in (*CHANGES, *changes) for word in ("--change", change)]
        done = subprocess.run(
            [*labdock_command(), "import", *words, "-", name],
            env=engine.environment,
            stdin=tar,
            capture_output=True,
            timeout=90,
            check=False,
        )
    assert done.returncode == 0, done.stderr


def labdock_command() -> list[str]:
    return [sys.executable, "-c", "from labdock.cli import main; main()"]


@contextmanager
def open_classroom() -> Iterator[Classroom]:
    """A classroom whose variables are this process's own meanwhile: provisioners live in it."""
    root = short_folder()
    made = Classroom(root)
    made.notebooks.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("LABDOCK_DATA", "LABDOCK_RUN", *Classroom.variables(root)):
            patch.setenv(name, made.engine.environment[name])
        patch.delenv("DOCKER_HOST", raising=False)
        patch.setenv("SECRET_TOKEN", "hunter2")
        made.engine.start()
        try:
            made.import_image(IMAGE, *IPYKERNEL)
            yield made
        finally:
            if ids := made.docker("ps", "-aq", check=False).split():
                made.docker("rm", "-f", *ids, check=False)
            made.engine.stop()
            stores.remove(root)


class ImageKernel(Kernel):
    """A kernel of the kernelspec *name*, told cells one by one."""

    def __init__(self, name: str, folder: Path) -> None:
        self.manager = KernelManager(kernel_name=name)
        self.manager.start_kernel(cwd=str(folder))
        self._connect()

    def _connect(self) -> None:
        self.client = self.manager.client()
        self.client.start_channels()
        try:
            self.client.wait_for_ready(timeout=60)
        except BaseException:
            self.close()
            raise

    def text(self, code: str) -> str:
        """What *code* shows; it must not fail."""
        reply, shown = self.run(code)
        assert reply["status"] == "ok", reply
        return shown

    def restart(self, *, now: bool = False) -> None:
        # A client of its own: the last one may have words of the kernel before, and would take them for the new one's.
        self.client.stop_channels()
        self.manager.restart_kernel(now=now)
        self._connect()


@contextmanager
def kernel_of(room: Classroom, name: str) -> Iterator[ImageKernel]:
    """A running kernel; at the end it is shut down, and nothing is left of it."""
    kernel = ImageKernel(name, room.notebooks)
    try:
        yield kernel
    finally:
        kernel.close()
    wait_until(lambda: not room.left(), "nothing is left of the kernel")
