"""What every runtime driver promises (labdock.runtime.RuntimeDriver), held against real containers of busybox."""

from __future__ import annotations

import asyncio
import os
import pickle
import shutil
import signal
import subprocess
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from labdock.errors import Conflict, InvalidRequest, LabdockError, NoSuchContainer, Unavailable
from labdock.runtime import Attachment, Bundle, ExecRequest, Exit, Monitored
from labdock.runtime.drivers.crun import CrunDriver
from labdock.runtime.logs import read_log
from labdock.runtime.spec import SpecRequest, build_spec
from labdock.sys import mounts

pytestmark = pytest.mark.sandbox

_ENV = ("PATH=/bin", "HOME=/")
_APPLETS = (
    "sh true false echo cat sleep ls id env tty stty kill printf seq dd head yes ps readlink unshare mount chroot wc "
    "mkdir touch ulimit hostname grep stat"
)


@dataclass
class Bench:
    """A driver, a root file system and a place for logs."""

    driver: CrunDriver
    base: Path

    @property
    def rootfs(self) -> Path:
        return self.base / "rootfs"

    def folder(self, name: str) -> Path:
        return self.base / "box" / "c" / name

    def log(self, name: str) -> Path:
        return self.base / "logs" / name

    def bundle(
        self, name: str, *args: str, tty: bool = False, stdin: bool = False, once: bool = False, **wishes: Any
    ) -> Bundle:
        request = SpecRequest(rootfs=str(self.rootfs), args=args, env=_ENV, tty=tty, **wishes)
        return Bundle(
            id=name,
            folder=self.folder(name),
            spec=build_spec(request),
            log=self.log(name),
            tty=tty,
            stdin=stdin,
            stdin_once=once,
        )

    async def create(self, name: str, *args: str, **wishes: Any) -> Monitored:
        return await self.driver.create(self.bundle(name, *args, **wishes))

    async def run(self, name: str, *args: str, **wishes: Any) -> Monitored:
        container = await self.create(name, *args, **wishes)
        await self.driver.start(name)
        return container

    async def text(self, name: str) -> str:
        lines = [line.data async for line in read_log(self.log(name))]
        return b"".join(lines).decode()

    async def output(self, name: str, *args: str, **wishes: Any) -> tuple[str, int]:
        """What a whole container wrote, and its exit code."""
        container = await self.run(name, *args, **wishes)
        end = await soon(container.wait())
        text = await self.text(name)
        await self.driver.delete(name)
        return text, end.code

    async def exec(self, name: str, *args: str, **wishes: Any) -> tuple[list[tuple[str, bytes]], int]:
        values: dict[str, Any] = {"env": _ENV, "cwd": "/", "uid": 0, "gid": 0} | wishes
        process = await self.driver.exec(name, ExecRequest(args=args, **values))
        return await soon(read_all(process.streams)), await soon(process.wait())


_T = TypeVar("_T")


async def soon(work: Awaitable[_T]) -> _T:
    return await asyncio.wait_for(work, 20)


async def read_all(attachment: Attachment) -> list[tuple[str, bytes]]:
    got: list[tuple[str, bytes]] = []
    while (item := await attachment.read()) is not None:
        got.append(item)
    return got


def joined(items: list[tuple[str, bytes]], stream: str = "stdout") -> bytes:
    return b"".join(data for name, data in items if name == stream)


def _prepare(base: Path) -> None:
    (base / "box").mkdir()
    (base / "logs").mkdir()
    mounts.mount("tmpfs", str(base / "box"), "tmpfs", mounts.NOSUID, "mode=0700")
    binaries = base / "rootfs" / "bin"
    binaries.mkdir(parents=True)
    for folder in ("tmp", "etc", "proc", "sys", "dev"):
        (base / "rootfs" / folder).mkdir()
    shutil.copy("/bin/busybox", binaries / "busybox")
    for applet in _APPLETS.split():
        (binaries / applet).symlink_to("busybox")


def _tools() -> tuple[str, str]:
    crun, conmon = shutil.which("crun"), shutil.which("conmon")
    assert crun is not None
    assert conmon is not None
    return crun, conmon


def engine(base: Path, main: Callable[[Bench], Coroutine[Any, Any, None]], *, prepared: bool = False) -> None:
    """Run *main* as the engine runs: in a child of pid 1, which reaps what the child's children leave behind."""
    if not prepared:
        _prepare(base)
    outcome = _in_child(base, main)
    if outcome:
        pytest.fail(f"in the engine:\n{outcome}", pytrace=False)


def _in_child(base: Path, main: Callable[[Bench], Coroutine[Any, Any, None]]) -> str:
    """*main*'s traceback, "" when it passed; "killed" when it was."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        text = ""
        try:
            asyncio.run(_with_driver(base, main), debug=False)
        except BaseException:
            text = traceback.format_exc()
        with os.fdopen(write, "wb") as out:
            pickle.dump(text, out)
        os._exit(0)
    os.close(write)
    reap_until(pid)
    with os.fdopen(read, "rb") as source:
        data = source.read()
    return str(pickle.loads(data)) if data else "killed"


def reap_until(pid: int) -> None:
    """Pid 1's duty: reap every orphan, until *pid* has ended."""
    while os.wait()[0] != pid:
        pass


async def _with_driver(base: Path, main: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    crun, conmon = _tools()
    driver = CrunDriver(crun, conmon, base / "box")
    try:
        await asyncio.wait_for(main(Bench(driver, base)), 90)
    finally:
        driver.close()


def programs() -> list[str]:
    """The command lines of what runs in this pid namespace, without ourselves and pid 1."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal() and int(entry.name) not in (1, os.getpid()):
            try:
                words = Path(entry.path, "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[0]:
                found.append(b" ".join(words).decode())
    return found


# --- life ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 3, 255])
def test_exit_code(tmp_path: Path, code: int) -> None:
    async def main(bench: Bench) -> None:
        before = time.time_ns()
        container = await bench.run("a", "sh", "-c", f"exit {code}")
        end = await soon(container.wait())
        assert end.code == code
        assert not end.oom_killed
        # The kernel's file times are up to a tick behind.
        assert before - 10_000_000 <= end.at <= time.time_ns()
        assert await soon(container.wait()) == end

    engine(tmp_path, main)


def test_nothing_runs_between_create_and_start(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        container = await bench.create("a", "sh", "-c", "echo ran > /tmp/proof")
        assert container.id == "a"
        assert os.readlink(f"/proc/{container.pid}/ns/pid") != os.readlink("/proc/self/ns/pid")
        assert not (bench.rootfs / "tmp/proof").exists()
        await bench.driver.start("a")
        await soon(container.wait())
        assert (bench.rootfs / "tmp/proof").read_text() == "ran\n"

    engine(tmp_path, main)


def test_started_twice(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        await bench.run("a", "sleep", "60")
        with pytest.raises(Conflict):
            await bench.driver.start("a")
        await bench.driver.delete("a")
        with pytest.raises(NoSuchContainer):
            await bench.driver.start("a")

    engine(tmp_path, main)


def test_created_twice(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        await bench.create("a", "true")
        with pytest.raises(Conflict):
            await bench.create("a", "true")
        await bench.driver.delete("a")
        assert await bench.output("a", "echo", "again") == ("again\n", 0)

    engine(tmp_path, main)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("nosuch", 'exec: "nosuch": executable file not found in $PATH'),
        ("/bin/nosuch", 'exec: "/bin/nosuch": stat /bin/nosuch: no such file or directory'),
        ("/etc/plain", "permission denied"),
    ],
)
def test_program_that_can_not_run(tmp_path: Path, program: str, words: str) -> None:
    """The docker CLI ends with 127 for "not found" and 126 for "permission denied", by these words."""

    async def main(bench: Bench) -> None:
        (bench.rootfs / "etc/plain").write_text("no program")
        with pytest.raises(InvalidRequest) as raised:
            await bench.create("a", program)
        assert words in raised.value.message
        assert raised.value.message.startswith("failed to create task for container: ")
        assert raised.value.message.endswith(": unknown")
        await bench.driver.delete("a")
        assert await bench.output("a", "echo", "fine") == ("fine\n", 0)

    engine(tmp_path, main)


def test_working_folder_that_can_not_be_entered(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        (bench.rootfs / "etc/plain").write_text("no folder")
        with pytest.raises(LabdockError, match="etc/plain"):
            await bench.create("a", "true", cwd="/etc/plain")

    engine(tmp_path, main)


def test_signals(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        container = await bench.run(
            "a", "sh", "-c", "trap 'echo hup; exit 5' HUP; echo ready; while :; do sleep 0.05; done"
        )
        async for line in read_log(bench.log("a"), ended=asyncio.Event()):
            assert line.data == b"ready\n"
            break
        await bench.driver.signal("a", signal.SIGHUP)
        assert (await soon(container.wait())).code == 5
        assert await bench.text("a") == "ready\nhup\n"
        with pytest.raises(Conflict):
            await bench.driver.signal("a", signal.SIGTERM)
        killed = await bench.run("b", "sleep", "60")
        await bench.driver.signal("b", signal.SIGKILL)
        assert (await soon(killed.wait())).code == 137

    engine(tmp_path, main)


def test_delete_leaves_nothing(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        await bench.run("running", "sh", "-c", "sleep 60 & sleep 60 & wait")
        await bench.create("created", "true")
        ended = await bench.run("ended", "true")
        await soon(ended.wait())
        with pytest.raises(InvalidRequest):
            await bench.create("failed", "nosuch")
        for name in ("running", "created", "ended", "failed", "never"):
            await bench.driver.delete(name)
        assert [line for line in programs() if "conmon" in line or "sleep" in line] == []
        assert os.listdir(bench.base / "box/c") == []
        assert os.listdir(bench.base / "box/crun") == []
        assert sorted(os.listdir("/proc/self/fd")) == before

    async def counted(bench: Bench) -> None:
        # The filter of the first container is compiled and kept.
        await bench.output("first", "true")
        before.extend(sorted(os.listdir("/proc/self/fd")))
        await main(bench)

    before: list[str] = []
    engine(tmp_path, counted)


def test_monitor_killed(tmp_path: Path) -> None:
    """Without its monitor nobody reads what a container writes: it is ended, and said to be."""

    async def main(bench: Bench) -> None:
        container = await bench.run("a", "sleep", "60")
        parent = Path(f"/proc/{container.pid}/stat").read_text().split()[3]
        os.kill(int(parent), signal.SIGKILL)
        assert (await soon(container.wait())).code == 137
        await bench.driver.delete("a")
        assert [line for line in programs() if "sleep" in line] == []
        assert os.listdir(bench.base / "box/crun") == []

    engine(tmp_path, main)


# --- streams ------------------------------------------------------------------------------------


def test_attach_before_start_loses_nothing(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        for turn in range(20):
            name = f"a{turn}"
            container = await bench.create(name, "sh", "-c", "echo out; echo err >&2")
            attachment = await container.attach(stdin=False)
            await bench.driver.start(name)
            got = await soon(read_all(attachment))
            assert joined(got) == b"out\n"
            assert joined(got, "stderr") == b"err\n"
            assert (await soon(container.wait())).code == 0
            await bench.driver.delete(name)

    engine(tmp_path, main)


def test_attached_twice_and_late(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        container = await bench.create("a", "cat", stdin=True, once=True)
        first = await container.attach(stdin=True)
        second = await container.attach(stdin=False, stderr=False)
        blind = await container.attach(stdin=False, stdout=False)
        await bench.driver.start("a")
        await first.write(b"one\n")
        assert await soon(first.read()) == ("stdout", b"one\n")
        assert await soon(second.read()) == ("stdout", b"one\n")
        third = await container.attach(stdin=False)
        with pytest.raises(BrokenPipeError):
            await third.write(b"no")
        await first.write(b"two\n")
        await first.close_stdin()
        assert joined(await soon(read_all(third))) == b"two\n"
        assert joined(await soon(read_all(second))) == b"two\n"
        assert await soon(read_all(blind)) == []
        assert (await soon(container.wait())).code == 0
        with pytest.raises(BrokenPipeError):
            await first.write(b"late")
        assert await (await container.attach(stdin=False)).read() is None

    engine(tmp_path, main)


def test_stdin_stays_open_when_a_writer_leaves(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        container = await bench.run("a", "cat", stdin=True)
        for text in (b"one\n", b"two\n"):
            writer = await container.attach(stdin=True)
            await writer.write(text)
            assert await soon(writer.read()) == ("stdout", text)
            await writer.close_stdin()
            await writer.close()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(container.wait(), 0.2)

    engine(tmp_path, main)


def test_attached_again_after_everybody_left(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        script = "while [ ! -e /tmp/go ]; do echo tick; sleep 0.01; done; echo end"
        container = await bench.run("a", "sh", "-c", script)
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            attachment = await container.attach(stdin=False)
            assert await soon(attachment.read()) == ("stdout", b"tick\n")
            await attachment.close()
            assert await attachment.read() is None
            # Nothing is drained for nobody.
            assert len(os.listdir("/proc/self/fd")) == before
            await asyncio.sleep(0.03)
        attachment = await container.attach(stdin=False)
        (bench.rootfs / "tmp/go").touch()
        assert joined(await soon(read_all(attachment))).endswith(b"end\n")
        assert (await soon(container.wait())).code == 0

    engine(tmp_path, main)


def test_stdin_ends_with_its_first_writer(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        container = await bench.run("a", "cat", stdin=True, once=True)
        writer = await container.attach(stdin=True)
        await writer.write(b"only\n")
        await writer.close()
        assert (await soon(container.wait())).code == 0
        assert await bench.text("a") == "only\n"

    engine(tmp_path, main)


def test_without_stdin_a_reader_sees_its_end(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        assert await bench.output("a", "cat") == ("", 0)

    engine(tmp_path, main)


def test_large_input_and_output(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        container = await bench.create("a", "cat", stdin=True, once=True)
        attachment = await container.attach(stdin=True)
        await bench.driver.start("a")
        sent = os.urandom(3 << 20)
        reading = asyncio.ensure_future(read_all(attachment))
        await soon(attachment.write(sent))
        await attachment.close_stdin()
        assert joined(await soon(reading)) == sent

    engine(tmp_path, main)


def test_terminal(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        container = await bench.create(
            "a",
            "sh",
            "-c",
            "tty; stty size; read x; stty size; echo got $x",
            tty=True,
            stdin=True,
            console_size=(30, 90),
        )
        attachment = await container.attach(stdin=True)
        await bench.driver.start("a")
        text = b""
        while b"30 90\r\n" not in text:
            item = await soon(attachment.read())
            assert item is not None
            text += item[1]
        await container.resize(41, 101)
        # The monitor takes the size from a fifo, so it has no order with what is written to stdin.
        await asyncio.sleep(0.1)
        await attachment.write(b"me\n")
        got = await soon(read_all(attachment))
        text += joined(got)
        assert joined(got, "stderr") == b""
        assert b"/dev/pts/0" in text
        assert b"41 101\r\n" in text
        assert b"got me\r\n" in text
        assert (await soon(container.wait())).code == 0
        await container.resize(1, 1)

    engine(tmp_path, main)


def test_slow_reader_is_cut_and_the_container_goes_on(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        size = 24 << 20
        container = await bench.create("a", "dd", "if=/dev/zero", "bs=65536", f"count={size // 65536}")
        stalled = await container.attach(stdin=False)
        reader = await container.attach(stdin=False, stderr=False)
        await bench.driver.start("a")
        assert len(joined(await soon(read_all(reader)))) == size
        assert (await soon(container.wait())).code == 0
        with pytest.raises(Unavailable, match="stopped reading"):
            await read_all(stalled)
        assert await stalled.read() is None

    engine(tmp_path, main)


def test_log_is_complete_at_the_exit(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        for turn in range(200):
            name = f"a{turn}"
            container = await bench.run(name, "sh", "-c", "echo first; echo second >&2; printf last")
            assert (await soon(container.wait())).code == 0
            lines = [(line.stream, line.data) async for line in read_log(bench.log(name))]
            assert sorted(lines) == [("stderr", b"second\n"), ("stdout", b"first\n"), ("stdout", b"last")]
            await bench.driver.delete(name)

    engine(tmp_path, main)


def test_no_log(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        bundle = bench.bundle("a", "echo", "hi")
        silent = Bundle(id="a", folder=bundle.folder, spec=bundle.spec, log=None)
        container = await bench.driver.create(silent)
        attachment = await container.attach(stdin=False)
        await bench.driver.start("a")
        assert await soon(read_all(attachment)) == [("stdout", b"hi\n")]
        assert (await soon(container.wait())).code == 0
        assert os.listdir(bench.base / "logs") == []

    engine(tmp_path, main)


def test_folder_longer_than_a_socket_path(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        name = "f" * 64
        long = bench.base / "box" / ("d" * 120)
        driver = CrunDriver(*_tools(), _made(long))
        try:
            bench.driver = driver
            spec = bench.bundle(name, "tty", tty=True).spec
            container = await driver.create(Bundle(name, long / "c" / name, spec, bench.log("a"), tty=True))
            attachment = await container.attach(stdin=False)
            await driver.start(name)
            assert joined(await soon(read_all(attachment))) == b"/dev/pts/0\r\n"
            await soon(container.wait())
            await driver.delete(name)
        finally:
            driver.close()

    engine(tmp_path, main)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


# --- execs --------------------------------------------------------------------------------------


def test_exec(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        await bench.run("a", "sleep", "60")
        got, code = await bench.exec("a", "sh", "-c", "echo out; echo err >&2; exit 7")
        assert (got, code) == ([("stdout", b"out\n"), ("stderr", b"err\n")], 7) or sorted(got) == [
            ("stderr", b"err\n"),
            ("stdout", b"out\n"),
        ]
        got, _ = await bench.exec("a", "env", env=("A=b c", "PATH=/bin", "HOME=/x"), cwd="/tmp")
        assert sorted(joined(got).split(b"\n")) == [b"", b"A=b c", b"HOME=/x", b"PATH=/bin"]
        got, _ = await bench.exec("a", "sh", "-c", "pwd; id", cwd="/tmp", uid=12, gid=34, groups=(56,))
        assert joined(got) == b"/tmp\nuid=12 gid=34 groups=34,56\n"
        assert (await bench.exec("a", "sh", "-c", "kill -TERM $$"))[1] == 143

    engine(tmp_path, main)


def test_exec_stdin(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        await bench.run("a", "sleep", "60")
        process = await bench.driver.exec("a", ExecRequest(("cat",), _ENV, "/", 0, 0, stdin=True))
        assert process.pid > 0
        sent = os.urandom(1 << 20)
        reading = asyncio.ensure_future(read_all(process.streams))
        await soon(process.streams.write(sent))
        await process.streams.close_stdin()
        assert joined(await soon(reading)) == sent
        assert await soon(process.wait()) == 0
        with pytest.raises(BrokenPipeError):
            await process.streams.write(b"late")
        # Nobody gives it any: it sees the end at once.
        assert await bench.exec("a", "cat") == ([], 0)

    engine(tmp_path, main)


def test_exec_keeps_one_write_a_frame(tmp_path: Path) -> None:
    """docker-py's tests read an exec's frames one by one (see the engine API's stream format)."""

    async def main(bench: Bench) -> None:
        await bench.run("a", "sleep", "60")
        got, _ = await bench.exec("a", "sh", "-c", "echo one; echo two; echo three")
        assert got == [("stdout", b"one\n"), ("stdout", b"two\n"), ("stdout", b"three\n")]
        got, _ = await bench.exec("a", "dd", "if=/dev/zero", "bs=10000", "count=1")
        assert [len(data) for stream, data in got if stream == "stdout"] == [10000]

    engine(tmp_path, main)


def test_exec_terminal(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        await bench.run("a", "sleep", "60")
        script = "tty; stty size; read x; stty size; echo got $x >&2; exit 4"
        process = await bench.driver.exec(
            "a", ExecRequest(("sh", "-c", script), _ENV, "/", 0, 0, tty=True, stdin=True, size=(31, 91))
        )
        text = b""
        while b"31 91\r\n" not in text:
            item = await soon(process.streams.read())
            assert item is not None
            text += item[1]
        await process.resize(42, 102)
        await process.streams.write(b"me\n")
        text += joined(await soon(read_all(process.streams)))
        assert b"/dev/pts/" in text
        assert b"42 102\r\n" in text
        assert b"got me\r\n" in text
        assert await soon(process.wait()) == 4
        await process.resize(1, 1)

    engine(tmp_path, main)


def test_exec_that_can_not_run(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        await bench.run("a", "sleep", "60")
        for tty in (False, True):
            with pytest.raises(InvalidRequest, match='exec: "nosuch": executable file not found in'):
                await bench.exec("a", "nosuch", tty=tty)
        with pytest.raises(InvalidRequest, match="chdir to cwd"):
            await bench.exec("a", "true", cwd="/nosuch")
        await bench.create("b", "true")
        ended = await bench.run("c", "true")
        await soon(ended.wait())
        with pytest.raises(Conflict):
            await bench.exec("c", "true")
        with pytest.raises(NoSuchContainer):
            await bench.exec("nosuch", "true")

    engine(tmp_path, main)


def test_exec_ends_with_its_process_not_with_its_pipes(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        await bench.run("a", "sleep", "60")
        before = time.monotonic()
        got, code = await bench.exec("a", "sh", "-c", "sleep 30 & echo left")
        assert (joined(got), code) == (b"left\n", 0)
        assert time.monotonic() - before < 10
        await bench.driver.delete("a")

    engine(tmp_path, main)


def test_exec_is_killed_with_its_container(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        container = await bench.run("a", "sleep", "60")
        process = await bench.driver.exec("a", ExecRequest(("sleep", "50"), _ENV, "/", 0, 0))
        await bench.driver.signal("a", signal.SIGKILL)
        assert (await soon(container.wait())).code == 137
        assert await soon(process.wait()) == 137
        assert await process.streams.read() is None

    engine(tmp_path, main)


def test_exec_output_waits_for_its_reader(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        await bench.run("a", "sleep", "60")
        process = await bench.driver.exec(
            "a", ExecRequest(("dd", "if=/dev/zero", "bs=65536", "count=256"), _ENV, "/", 0, 0)
        )
        await asyncio.sleep(0.3)
        assert len(joined(await soon(read_all(process.streams)))) == 256 * 65536
        assert await soon(process.wait()) == 0
        # Let go, it runs to its end with nobody reading.
        process = await bench.driver.exec(
            "a", ExecRequest(("dd", "if=/dev/zero", "bs=65536", "count=256"), _ENV, "/", 0, 0)
        )
        await process.streams.close()
        assert await soon(process.wait()) == 0

    engine(tmp_path, main)


# --- after the engine's death ---------------------------------------------------------------------


def _killed_engine(base: Path, main: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    """Run *main* in an engine that is SIGKILLed at its end."""

    async def to_death(bench: Bench) -> None:
        await main(bench)
        os.kill(os.getpid(), signal.SIGKILL)

    _prepare(base)
    assert _in_child(base, to_death) == "killed"


def test_adopted_after_the_engine_died(tmp_path: Path) -> None:
    async def before(bench: Bench) -> None:
        await bench.run(
            "plain", "sh", "-c", "echo before; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo after; exit 9"
        )
        await bench.run("stdin", "cat", stdin=True)
        await bench.create("created", "echo", "started by another engine")
        watched = await bench.run("watched", "sh", "-c", "while [ ! -e /tmp/go ]; do echo tick; sleep 0.01; done")
        attachment = await watched.attach(stdin=False)
        await soon(attachment.read())

    async def after(bench: Bench) -> None:
        adopted = {}
        for name in ("plain", "stdin", "created", "watched"):
            found = await bench.driver.adopt(name, bench.folder(name))
            assert found is not None
            assert not isinstance(found, Exit)
            adopted[name] = found
        assert await bench.driver.adopt("nosuch", bench.folder("nosuch")) is None
        assert (await bench.exec("plain", "id"))[1] == 0
        writer = await adopted["stdin"].attach(stdin=True)
        await writer.write(b"still here\n")
        assert await soon(writer.read()) == ("stdout", b"still here\n")
        await bench.driver.start("created")
        assert (await soon(adopted["created"].wait())).code == 0
        assert await bench.text("created") == "started by another engine\n"
        (bench.rootfs / "tmp/go").touch()
        assert (await soon(adopted["plain"].wait())).code == 9
        assert await bench.text("plain") == "before\nafter\n"
        assert (await soon(adopted["watched"].wait())).code == 0
        for name in adopted:
            await bench.driver.delete(name)
        assert os.listdir(bench.base / "box/c") == []
        assert os.listdir(bench.base / "box/crun") == []

    _killed_engine(tmp_path, before)
    engine(tmp_path, after, prepared=True)


def test_ended_while_nobody_looked(tmp_path: Path) -> None:
    async def before(bench: Bench) -> None:
        await bench.run("a", "sh", "-c", "echo bye; sleep 0.1; exit 6")

    async def after(bench: Bench) -> None:
        end = await bench.driver.adopt("a", bench.folder("a"))
        assert isinstance(end, Exit)
        assert end.code == 6
        assert abs(end.at - time.time_ns()) < 60_000_000_000
        assert await bench.text("a") == "bye\n"
        await bench.driver.delete("a")
        assert os.listdir(bench.base / "box/crun") == []
        assert os.listdir(bench.base / "box/c") == []

    _killed_engine(tmp_path, before)
    while b"conmon" in b"".join(p.read_bytes() for p in Path("/proc").glob("[0-9]*/cmdline")):
        os.wait()
    engine(tmp_path, after, prepared=True)


def test_killed_at_any_point_of_create(tmp_path: Path) -> None:
    """An engine that dies inside create leaves what adopt takes over or removes, and delete clears."""

    async def after(bench: Bench) -> None:
        found = await bench.driver.adopt("a", bench.folder("a"))
        if found is not None and not isinstance(found, Exit):
            await bench.driver.start("a")
            assert (await soon(found.wait())).code == 0
        await bench.driver.delete("a")
        assert [line for line in programs() if "conmon" in line or "crun" in line] == []
        assert os.listdir(bench.base / "box/crun") == []
        assert await bench.output("a", "true") == ("", 0)

    _prepare(tmp_path)
    for delay in (0.0, 0.001, 0.002, 0.003, 0.004, 0.006, 0.008, 0.012):
        pid = os.fork()
        if pid == 0:

            async def before(bench: Bench, delay: float = delay) -> None:
                asyncio.get_running_loop().call_later(delay, os.kill, os.getpid(), signal.SIGKILL)
                await bench.create("a", "true")
                await asyncio.sleep(5)

            asyncio.run(_with_driver(tmp_path, before))
            os._exit(0)
        reap_until(pid)
        engine(tmp_path, after, prepared=True)


# --- many, and odd ones -----------------------------------------------------------------------------


def test_twenty_at_once(tmp_path: Path) -> None:
    async def one(bench: Bench, number: int) -> None:
        name = f"a{number}"
        container = await bench.create(name, "sh", "-c", f"echo {number}; exit {number}")
        attachment = await container.attach(stdin=False)
        await bench.driver.start(name)
        assert joined(await soon(read_all(attachment))) == b"%d\n" % number
        assert (await soon(container.wait())).code == number
        await bench.driver.delete(name)

    async def main(bench: Bench) -> None:
        await asyncio.gather(*(one(bench, number) for number in range(20)))
        assert os.listdir(bench.base / "box/crun") == []

    engine(tmp_path, main)


def test_paused(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        await bench.run("a", "sh", "-c", "(while :; do echo tick; sleep 0.02; done) & wait")
        async for _ in read_log(bench.log("a"), ended=asyncio.Event()):
            break
        await bench.driver.pause("a")
        size = bench.log("a").stat().st_size
        await asyncio.sleep(0.2)
        assert bench.log("a").stat().st_size == size
        await bench.driver.resume("a")
        async for _ in read_log(bench.log("a"), tail=0, ended=asyncio.Event()):
            break
        await bench.driver.pause("a")
        await bench.driver.delete("a")
        assert [line for line in programs() if "tick" in line] == []

    engine(tmp_path, main)


def test_shared_pid_namespace_leaves_no_process(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        container = await bench.run("a", "sh", "-c", "sleep 77 & sleep 77 & exit 0", pid="host")
        await soon(container.wait())
        await bench.driver.delete("a")
        assert [line for line in programs() if "sleep 77" in line] == []
        await bench.run("b", "sh", "-c", "sleep 78 & sleep 78", pid="host")
        await bench.driver.delete("b")
        assert [line for line in programs() if "sleep 78" in line] == []

    engine(tmp_path, main)


def test_processes(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        container = await bench.run("a", "sh", "-c", "sleep 60 & sleep 60 & echo; wait")
        async for _ in read_log(bench.log("a"), ended=asyncio.Event()):
            break
        pids = bench.driver.processes("a")
        assert len(pids) == 3
        assert pids[0] == container.pid

    engine(tmp_path, main)


def test_warm(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        await bench.driver.warm()
        assert len(os.listdir(bench.base / "box/seccomp")) == 1
        assert sorted(os.listdir(bench.base / "box")) == ["bin", "crun", "seccomp"]
        assert programs() == []
        assert (await bench.output("a", "grep", "Seccomp:", "/proc/self/status"))[0] == "Seccomp:\t2\n"
        assert len(os.listdir(bench.base / "box/seccomp")) == 1

    engine(tmp_path, main)


def test_cancelled_create(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        making = asyncio.ensure_future(bench.create("a", "sleep", "60"))
        await asyncio.sleep(0.001)
        making.cancel()
        with pytest.raises(asyncio.CancelledError):
            await making
        for _ in range(100):
            if not os.listdir(bench.base / "box/crun") and not programs():
                break
            await asyncio.sleep(0.05)
        assert programs() == []
        assert os.listdir(bench.base / "box/crun") == []

    engine(tmp_path, main)


# --- what a container is ----------------------------------------------------------------------------


def test_default_sandboxing(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        # Twice: the second container gets the filter that the first had compiled.
        for name in ("a", "b"):
            script = (
                "grep -E '^(CapEff|CapBnd|CapAmb|Seccomp|NoNewPrivs):' /proc/self/status; "
                "unshare -U true; unshare -m true; mount -t tmpfs x /tmp; chroot / true && echo chroot; "
                "cat /proc/kcore | wc -c; echo 1 > /proc/sys/kernel/hostname; mkdir /sys/x"
            )
            text, code = await bench.output(name, "sh", "-c", script)
            assert code == 1
            lines = text.replace("\t", " ").splitlines()
            assert "CapEff: 00000000a80425fb" in lines
            assert "CapBnd: 00000000a80425fb" in lines
            assert "CapAmb: 0000000000000000" in lines
            assert "Seccomp: 2" in lines
            assert "NoNewPrivs: 0" in lines
            # CLONE_NEWUSER needs no capability: only the filter refuses it.
            assert "unshare: unshare(0x10000000): Operation not permitted" in lines
            assert "unshare: unshare(0x20000): Operation not permitted" in lines
            assert any(line.startswith("mount: permission denied") for line in lines)
            assert "chroot" in lines
            assert "0" in lines
            assert any("/proc/sys/kernel/hostname" in line and "Read-only" in line for line in lines)
            assert "mkdir: can't create directory '/sys/x': Read-only file system" in lines

    engine(tmp_path, main)


def test_loosened_and_tightened(tmp_path: Path) -> None:
    async def main(bench: Bench) -> None:
        seccomp = ("grep", "Seccomp:", "/proc/self/status")
        assert await bench.output("a", *seccomp, seccomp="unconfined") == ("Seccomp:\t0\n", 0)
        assert await bench.output("b", *seccomp, privileged=True) == ("Seccomp:\t0\n", 0)
        assert await bench.output("c", "unshare", "-m", "true", privileged=True) == ("", 0)
        text, _ = await bench.output("d", "grep", "CapEff", "/proc/self/status", cap_drop=("ALL",), cap_add=("CHOWN",))
        assert text == "CapEff:\t0000000000000001\n"
        text, _ = await bench.output("e", "grep", "CapEff", "/proc/self/status", uid=1000, gid=1000)
        assert text == "CapEff:\t0000000000000000\n"
        assert (await bench.output("f", "touch", "/new", readonly_rootfs=True))[1] == 1
        text, _ = await bench.output("g", "grep", "NoNewPrivs", "/proc/self/status", no_new_privileges=True)
        assert text == "NoNewPrivs:\t1\n"
        assert (await bench.output("h", "hostname", hostname="box", domainname="lab"))[0] == "box\n"
        assert (await bench.output("i", "sh", "-c", "echo $$; hostname", init="/usr/bin/catatonit"))[0].startswith(
            "2\n"
        )

    engine(tmp_path, main)


def test_spec_is_what_the_runtime_sees(tmp_path: Path) -> None:
    """A program that exercises ordinary calls runs under the default filter without a refusal."""

    async def main(bench: Bench) -> None:
        script = (
            "ls /dev | wc -l; seq 3 | dd bs=1 count=2 2>/dev/null; (sleep 0.01; echo late) & wait; stat -c %a /dev/shm"
        )
        text, code = await bench.output("a", "sh", "-c", script)
        assert code == 0
        assert text.splitlines()[1:] == ["1", "late", "1777"]

    engine(tmp_path, main)


def test_tools_are_there() -> None:
    for tool in _tools():
        assert subprocess.run([tool, "--version"], capture_output=True, check=False).returncode == 0
