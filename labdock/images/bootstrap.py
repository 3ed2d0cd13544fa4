"""Debian base images from the distribution's own packages, by mmdebstrap(1). Runs as root of the sandbox.

The packages come from where the machine's own apt gets them (``/etc/apt``): no host is written down here. The tar
that results is cached, so the next time needs no network.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import re
import shutil
import signal
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from labdock.errors import HostUnfit, InvalidRequest, SystemFailure
from labdock.images import references
from labdock.images.bundled import ARCHITECTURES, PATH
from labdock.images.image import Image
from labdock.images.store import Images
from labdock.schema.oci import LAYER_TAR, History, ImageConfig, RuntimeConfig
from labdock.store.snapshots import Layer

OnLine = Callable[[str], None]
_SUITE = re.compile(r"[a-z][a-z0-9-]{1,30}")
_TAIL = 12
_MOST_LINE = 2000
_HINT = "it needs the distribution's mirror: see `apt-get update` on this machine, then try again"


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How bases are made: where finished tars are kept (*cache*), the program, and the machine's apt settings."""

    images: Images
    cache: Path
    program: str = "mmdebstrap"
    apt: Path = Path("/etc/apt")

    async def bootstrap(self, name: str, suite: str, on_line: OnLine) -> Image:
        """The image *name* (``debian:bookworm``) of the Debian *suite*; *on_line* is told what happens.

        Cancelling stops mmdebstrap and removes what it made. Raises InvalidRequest for a suite that is no name,
        HostUnfit without mmdebstrap, SystemFailure with mmdebstrap's last lines.
        """
        references.parse(name)
        if not _SUITE.fullmatch(suite):
            raise InvalidRequest(f"not the name of a Debian suite: {suite[:60]!r}", hint="for example: bookworm")
        tar = self.cache / f"debian-{suite}-{platform.machine()}.tar"
        if tar.exists():
            on_line(f"Using the tar of {suite} that was made before")
        else:
            await self._make(suite, tar, on_line)
        on_line(f"Unpacking {name}")
        return await asyncio.to_thread(self._adopt, name, suite, tar)

    async def _make(self, suite: str, tar: Path, on_line: OnLine) -> None:
        program = shutil.which(self.program)
        if program is None:
            raise HostUnfit(
                f"making a Debian base needs {self.program}, which is not on PATH",
                hint="an administrator can install it: apt-get install mmdebstrap",
            )
        work = self.cache / f"making-{os.getpid()}-{suite}"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        try:
            staged = work / "root.tar"
            await _run(self._command(program, suite, staged), work, on_line)
            os.replace(staged, tar)
        finally:
            await asyncio.to_thread(shutil.rmtree, work, True)

    def _command(self, program: str, suite: str, target: Path) -> list[str]:
        sources = find_sources(self.apt, suite)
        if not sources:
            raise HostUnfit(
                f"{self.apt} names no Debian mirror to make {suite} from",
                hint=f"add a source with the suite {suite} to {self.apt}/sources.list.d",
            )
        options = [f"--aptopt={path}" for path in find_options(self.apt)]
        modes = ["--mode=root", "--variant=minbase", "--format=tar", "--skip=output/dev"]
        return [program, *modes, *options, suite, str(target), *sources]

    def _adopt(self, name: str, suite: str, tar: Path) -> Image:
        images = self.images
        with images.leases.hold() as hold:
            with images.content.ingest(f"bootstrap-{suite}") as ingest, tar.open("rb") as file:
                while chunk := file.read(1 << 20):
                    ingest.write(chunk)
                size = ingest.tell()
                hold.add(f"sha256:{ingest.hexdigest}")
                digest = ingest.commit()
            layer = Layer(LAYER_TAR, digest, size, digest)
            images.unpack_layers([layer])
            created = datetime.fromtimestamp(int(tar.stat().st_mtime), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            config = ImageConfig(
                created=created,
                architecture=ARCHITECTURES.get(platform.machine(), platform.machine()),
                config=RuntimeConfig(env=(PATH,), cmd=("bash",)),
                history=(
                    History(created=created, created_by=f"mmdebstrap --variant=minbase {suite}"),
                    History(created=created, created_by='CMD ["bash"]', empty_layer=True),
                ),
            )
            return images.assemble(config, [layer], [name])


async def _run(command: list[str], work: Path, on_line: OnLine) -> None:
    """Run mmdebstrap to its end; its lines go to *on_line*."""
    environment = {
        "PATH": os.environ.get("PATH", PATH.removeprefix("PATH=")),
        "HOME": "/root",
        "LC_ALL": "C.UTF-8",
        "TMPDIR": str(work),
        "DEBIAN_FRONTEND": "noninteractive",
        **{k: v for k, v in os.environ.items() if k.lower() in ("http_proxy", "https_proxy", "no_proxy")},
    }
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment,
        cwd=work,
        start_new_session=True,
        limit=1 << 20,
    )
    tail: deque[str] = deque(maxlen=_TAIL)
    try:
        assert process.stdout is not None
        async for raw in process.stdout:
            # apt and mmdebstrap redraw their progress with "\r": the last drawing counts.
            line = raw.decode(errors="replace").rstrip().rpartition("\r")[2][:_MOST_LINE]
            if line:
                tail.append(line)
                on_line(line)
        status = await process.wait()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            # It unmounts what it mounted before it ends.
            await asyncio.wait_for(asyncio.shield(process.wait()), 20)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        raise
    if status != 0:
        said = "\n".join(tail)
        raise SystemFailure(f"mmdebstrap ended with status {status}; its last lines:\n{said}", hint=_HINT)


def find_sources(apt: Path, suite: str) -> list[str]:
    """What to tell mmdebstrap of mirrors: the machine's own source files that have *suite*, else its first mirror."""
    files = [path for path in (apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))) if path.is_file()]
    mirrors: list[str] = []
    holding: list[str] = []
    for path in files:
        if path.suffix not in (".list", ".sources"):
            continue
        text = "\n".join(line for line in path.read_text(errors="replace").splitlines() if not line.startswith("#"))
        mirrors += re.findall(r"(?:^|\s)([a-z+]+:/\S*debian/?)(?=\s|$)", text)
        if re.search(rf"(?:^|\s){re.escape(suite)}(?=\s|$)", text, re.MULTILINE):
            holding.append(str(path))
    return holding or mirrors[:1]


def find_options(apt: Path) -> list[str]:
    """The machine's apt settings that say how mirrors are reached (proxies, checks of dates)."""
    files = [path for path in (apt / "apt.conf", *sorted((apt / "apt.conf.d").glob("*"))) if path.is_file()]
    wanted = re.compile(r"^\s*Acquire::(?:https?|Check|Retries|Languages)", re.MULTILINE | re.IGNORECASE)
    return [str(path) for path in files if wanted.search(path.read_text(errors="replace"))]
