"""The busybox image that needs no network: one static program, its applets as links, and the folders it expects.

Made as a layer tar in memory, so the same program gives the same image id everywhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import platform
import subprocess
from pathlib import Path

from labdock.errors import HostUnfit, NoSuchImage, SystemFailure
from labdock.images.image import Image
from labdock.images.store import Images
from labdock.schema.oci import LAYER_TAR, History, ImageConfig, RuntimeConfig
from labdock.store.layers import headers
from labdock.store.layers.headers import BLOCK, Entry
from labdock.store.snapshots import Layer

NAME = "busybox:latest"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: Reproducible: nothing in the image says when it was made.
CREATED = "1970-01-01T00:00:00Z"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le", "s390x": "s390x"}

_FOLDERS = (
    ("bin", 0o755), ("dev", 0o755), ("etc", 0o755), ("home", 0o755), ("proc", 0o755), ("root", 0o700), ("run", 0o755),
    ("srv", 0o755), ("sys", 0o755), ("tmp", 0o1777), ("usr", 0o755), ("usr/bin", 0o755), ("usr/local", 0o755),
    ("usr/local/bin", 0o755), ("usr/sbin", 0o755), ("var", 0o755), ("var/log", 0o755), ("var/spool", 0o755),
    ("var/spool/cron", 0o755), ("var/spool/cron/crontabs", 0o755), ("var/tmp", 0o1777), ("var/www", 0o755),
)  # fmt: skip
_FILES = {
    "etc/group": b"root:x:0:\ndaemon:x:1:\nbin:x:2:\nsys:x:3:\nadm:x:4:\ntty:x:5:\nmail:x:8:\nwww-data:x:33:\n"
    b"users:x:100:\nnogroup:x:65534:\n",
    "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\n"
    b"bin:x:2:2:bin:/bin:/bin/false\nsys:x:3:3:sys:/dev:/bin/false\nmail:x:8:8:mail:/var/spool/mail:/bin/false\n"
    b"www-data:x:33:33:www-data:/var/www:/bin/false\nnobody:x:65534:65534:nobody:/home:/bin/false\n",
    "etc/profile": b"export PS1='\\u@\\h:\\w\\$ '\n",
    "etc/shells": b"/bin/sh\n/bin/ash\n",
}
_LINKS = {"sbin": b"bin", "usr/bin/env": b"../../bin/env", "var/run": b"../run"}


def ensure_busybox(images: Images, program: Path | str) -> Image:
    """The image ``busybox:latest``, made from the static busybox *program* unless there is one of that name.

    Raises HostUnfit when *program* is not there or is linked dynamically, SystemFailure when it does not run.
    """
    with contextlib.suppress(NoSuchImage):
        return images.get(NAME)
    path = Path(program)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise HostUnfit(
            f"the busybox image needs a static busybox: {path}: {error.strerror}",
            hint="an administrator can install it: apt-get install busybox-static",
        ) from error
    if b"/ld-linux" in data or b"/ld-musl" in data:
        raise HostUnfit(
            f"{path} is linked dynamically and would not run alone in an image",
            hint="an administrator can install a static one: apt-get install busybox-static",
        )
    tar = _build_layer(data, _list_applets(path))
    digest = images.content.write(tar)
    layer = Layer(LAYER_TAR, digest, len(tar), digest)
    with images.leases.hold(digest):
        images.unpack_layers([layer])
        return images.assemble(_config(hashlib.sha256(data).hexdigest()), [layer], [NAME])


def _list_applets(program: Path) -> list[str]:
    try:
        done = subprocess.run([program, "--list"], capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError) as error:
        raise SystemFailure(f"asking {program} for its applets: {error}") from error
    applets = {name for name in done.stdout.split() if "/" not in name}
    return sorted(applets - {"busybox"})


def _build_layer(program: bytes, applets: list[str]) -> bytes:
    entries: dict[str, tuple[Entry, bytes]] = {}
    for name, mode in _FOLDERS:
        entries[name] = Entry(f"{name}/".encode(), headers.FOLDER, mode), b""
    for name, data in _FILES.items():
        entries[name] = Entry(name.encode(), mode=0o644, size=len(data)), data
    for name in applets:
        entries[f"bin/{name}"] = Entry(f"bin/{name}".encode(), headers.SYMLINK, 0o777, link=b"busybox"), b""
    for name, target in _LINKS.items():
        entries[name] = Entry(name.encode(), headers.SYMLINK, 0o777, link=target), b""
    entries["bin/busybox"] = Entry(b"bin/busybox", mode=0o755, size=len(program)), program
    tar = bytearray()
    for name in sorted(entries):
        entry, data = entries[name]
        tar += headers.encode(entry) + data + bytes(-len(data) % BLOCK)
    return bytes(tar + bytes(2 * BLOCK))


def _config(digest: str) -> ImageConfig:
    made = f"bundled busybox sha256:{digest}"
    return ImageConfig(
        created=CREATED,
        architecture=ARCHITECTURES.get(platform.machine(), platform.machine()),
        config=RuntimeConfig(env=(PATH,), cmd=("sh",), working_dir="/"),
        history=(
            History(created=CREATED, created_by=made),
            History(created=CREATED, created_by='CMD ["sh"]', empty_layer=True),
        ),
    )
