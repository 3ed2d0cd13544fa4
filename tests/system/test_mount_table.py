"""A table of mounts and what comes of them: the answers are those that rootless dockerd was seen to give by hand.

Where labdock differs on purpose, the line says so.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import stores
from tests.system.conftest import EngineUnderTest, short_folder

LABDOCK = str(Path(sys.executable).with_name("labdock"))
IMAGE = (
    "FROM busybox\n"
    "RUN mkdir -p /data/d && echo x > /data/x && chmod 640 /data/x && chown 1000:1000 /data/x /data"
    " && chmod 700 /data && ln -s x /data/l && ln -s /data /link && ln -s ../../../../etc /escape"
    " && ln -s /tmp/out /dangling && ln -s /loop /loop\n"
    "VOLUME /vol\n"
)
FILLED = "700 1000:1000 /data\\n640 1000:1000 /data/x\\n755 0:0 /data/d"
LOOK = "stat -c '%a %u:%g %n' /data /data/x /data/d; readlink /data/l"
WRONG_KIND = "Are you trying to mount a directory onto a file (or vice-versa)?"


@dataclass(frozen=True)
class Line:
    """``docker run OPTIONS IMAGE sh -c SCRIPT``; W in *options* and *said* is a folder of the host's with dir and file.

    ``status``: the exit status; ``said``: a part of what it prints, output and errors.
    """

    options: str
    script: str = "true"
    status: int = 0
    said: str = ""


LINES = (
    # A source that is not there.
    Line("-v W/missing:/m", "ls -d /m", said="/m"),
    Line("--mount type=bind,src=W/nope,dst=/m", status=125, said='"bind": bind source path does not exist: W/nope'),
    Line("-v W/dir/f/under:/m", status=125, said="not a directory"),
    Line("-v /proc/nope:/m", status=127, said="creating mount source path '/proc/nope': mkdir /proc/nope: no such"),
    Line("--mount type=bind,src=W/made,dst=/m,bind-create-src", "ls -d /m", said="/m"),
    # Files and folders.
    Line("-v W/file:/m", "cat /m", said="hello"),
    Line("-v W/file:/etc", status=125, said=WRONG_KIND),
    Line("-v W/dir:/etc/passwd", status=125, said=WRONG_KIND),
    # One in the other, one over the other.
    Line("-v W/dir:/a -v W/dir/sub:/a/sub/deep", "ls /a/sub", said="deep"),
    Line("-v W/dir/sub:/a/sub/deep -v W/dir:/a", "ls /a/sub", said="deep"),
    Line("-v W/dir:/a/ -v inner:/a/b", "ls /a", said="b\nf\nsub"),
    Line("-v W/dir:/a -v W/dir:/a", "ls /a", said="f"),
    Line("-v W/dir:/a --mount type=volume,src=v9,dst=/a", status=125, said="Duplicate mount point: /a"),
    Line("-v W/dir:/a --tmpfs /a", status=125, said="Duplicate mount point: /a"),
    Line("-v W/dir:/vol", "ls /vol", said="f"),
    # Links in the image stay in the container.
    Line("-v W/dir:/link", "ls /data", said="f\nsub"),
    Line("-v W/dir:/escape/x", "ls /etc/x", said="f\nsub"),
    Line("-v W/dir:/dangling", "ls /tmp/out", said="f\nsub"),
    Line("-v W/dir:/loop", status=125, said="too many levels of symbolic links"),
    # Read only.
    Line("-v W/dir:/a:ro", "touch /a/x", 1, "touch: /a/x: Read-only file system"),
    Line("-v W/file:/etc/one:ro", "cat /etc/one; echo y >> /etc/one", 1, "/etc/one: Read-only file system"),
    Line("--mount type=bind,src=W/file,dst=/one,readonly", "test -f /one && echo taken", said="taken"),
    Line("--mount type=bind,src=W/dir,dst=/a,readonly", "touch /a/x", 1, "Read-only file system"),
    Line("--mount type=bind,src=W/dir,dst=/a,ro,bind-recursive=readonly,bind-propagation=rprivate", "ls /a", said="f"),
    Line("-v ro:/a:ro", "touch /a/x", 1, "Read-only file system"),
    Line("--read-only", "touch /x; touch /dev/x && echo dev", said="touch: /x: Read-only file system"),
    Line("--read-only --tmpfs /tmp -v rw:/rw", "touch /tmp/x /rw/x && echo written", said="written"),
    Line("--mount type=volume,dst=/a,readonly", status=125, said="must not set ReadOnly mode when using anonymous"),
    # Words after the target. (z and Z are ignored, and labdock says so; U is labdock's own.)
    Line("-v W/dir:/a:z", "ls /a", said="SELinux labels (z, Z) can't be changed"),
    Line("-v W/dir:/a:ro,Z", "ls /a", said="f\nsub"),
    Line("-v W/dir:/a:cached", "ls /a", said="f\nsub"),
    Line("-v W/dir:/a:bogus", status=125, said="invalid mode: bogus"),
    Line("-v W/dir:/a:ro,rw", status=125, said="invalid mode: ro,rw"),
    Line("-v W/mine:/a:U -u 1000", "touch /a/new && stat -c %u /a /a/new", said="1000\n1000"),
    Line("-v W/dir:/a -u 1000", "true", said="the container's user 1000 can't write there"),
    Line("-v W/dir:/a:nocopy", status=125, said="field VolumeOptions must not be specified"),
    Line("-v nn:/a:rshared", status=125, said="field BindOptions must not be specified"),
    Line("-v W/dir:/a:unbindable", status=125, said="invalid mode: unbindable"),
    Line("-v W/dir:/a:private", "ls /a", said="f"),
    Line("-v W/dir:/a:rshared", status=125, said="but it is not a shared mount"),
    # What can't be meant.
    Line("-v W/dir:rel", status=125, said="invalid mount path: 'rel' mount path must be absolute"),
    Line("-v W/dir:/", status=125, said="invalid specification: destination can't be '/'"),
    Line("-v bad/name:/a", status=125, said="If you intended to pass a host directory, use absolute path"),
    Line("-v xx/../yy:/a", status=125, said="includes invalid characters for a local volume name"),
    Line("-v a:b:c:d", status=125, said="invalid volume specification: 'a:b:c:d'"),
    Line("--mount type=tmpfs,src=x,dst=/a", status=125, said="field Source must not be specified"),
    Line("--mount type=tmpfs,dst=/", status=125, said="destination can't be '/'"),
    Line("--mount type=npipe,src=x,dst=/a", status=125, said='"npipe": mount type unknown'),
    Line("--mount type=cluster,src=x,dst=/a", status=125, said='"cluster": mount type unknown'),
    Line("--mount type=foo,src=x,dst=/a", status=125, said='"foo": mount type unknown'),
    # Docker mounts over /sys and /dev, and not over /proc.
    Line("-v W/dir:/proc/x", status=125, said="cannot be mounted because it is inside /proc"),
    Line("-v W/dir:/proc", status=125, said="cannot be mounted because it is not of type proc"),
    Line("-v W/dir:/sys", "ls /sys", said="f\nsub"),
    Line("-v W/dir:/dev/xx", "ls /dev/xx", said="f\nsub"),
    # In memory.
    Line("--tmpfs /a", "mount | grep ' /a '; stat -c %a /a", said="nosuid,nodev,noexec"),
    Line("--tmpfs /a", "stat -c %a /a", said="1777"),
    Line("--tmpfs /a:size=1m,mode=700,exec", "mount | grep ' /a '", said="(rw,nosuid,nodev,relatime,size=1024k"),
    Line("--mount type=tmpfs,dst=/a,tmpfs-size=1m,tmpfs-mode=700", "mount | grep ' /a '", said="size=1024k,mode=700"),
    Line("--tmpfs /a:zzz", status=125, said='invalid tmpfs option ["zzz"]'),
    Line("--shm-size 1m", "df -k /dev/shm", said="shm                       1024"),
    # Volumes, filled from the image.
    Line("-v filled:/data", LOOK, said=FILLED.replace("\\n", "\n") + "\nx"),
    Line("-v through-link:/link", LOOK, said=FILLED.replace("\\n", "\n") + "\nx"),
    Line("-v nocopy:/data:nocopy", "ls -A /data; stat -c %a /data", said="755"),
    Line("--mount type=volume,src=nocopy2,dst=/data,volume-nocopy", "ls -A /data; stat -c %a /data", said="755"),
    Line("--mount type=volume,src=filled,dst=/s,volume-subpath=d", "touch /s/made && ls /s", said="made"),
    Line("--mount type=volume,src=filled,dst=/s,volume-subpath=no", status=127, said="cannot access path "),
    Line("--mount type=volume,src=filled,dst=/s,volume-subpath=../x", status=125, said="subpath must be a relative"),
    Line("--mount type=volume,dst=/s,volume-subpath=x", status=125, said="must not set Subpath when using anonymous"),
    Line("--mount type=volume,src=labelled,dst=/s,volume-label=a=b", "true"),
    Line("--volumes-from nobody", status=125, said="No such container: nobody"),
    Line("--volumes-from giver:bogus", status=125, said="invalid mode: bogus"),
    Line("--volumes-from giver", "cat /given/x && touch /given/y", said="from the giver"),
    Line("--volumes-from giver:ro", "touch /given/z", 1, "Read-only file system"),
)


@pytest.fixture(scope="module")
def table() -> Iterator[EngineUnderTest]:
    root = short_folder()
    engine = EngineUnderTest(root)
    engine.start()
    try:
        done = subprocess.run(
            ["docker", "build", "-q", "-t", "table", "-"],
            env=engine.environment,
            input=IMAGE,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        folder = root / "w"
        (folder / "dir/sub").mkdir(parents=True)
        (folder / "mine").mkdir()
        (folder / "file").write_text("hello\n")
        (folder / "dir/f").write_text("f\n")
        engine.docker("create", "--name", "giver", "-v", "given:/given", "table", "true")
        engine.docker("run", "--rm", "-v", "given:/given", "table", "sh", "-c", "echo from the giver > /given/x")
        yield engine
    finally:
        engine.stop()
        stores.remove(root)


@pytest.mark.parametrize("line", LINES, ids=lambda line: re.sub(r"[^\w=:.,-]+", " ", line.options)[:60])
def test_line(table: EngineUnderTest, line: Line) -> None:
    folder = str(table.root / "w")
    options = line.options.replace("W/", folder + "/").split()
    done = run(table.environment, *options, "table", "sh", "-c", line.script)
    shown = (done.stdout + done.stderr).replace(folder + "/", "W/")
    assert line.said in shown, shown
    assert done.returncode == line.status, shown


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """By labdock's own command line: the docker command of an older machine knows fewer options."""
    return subprocess.run(
        [LABDOCK, "run", "--rm", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
