"""The containers' way out where there is a TUN device: slirp4netns, a user-mode TCP/IP stack. man 1 slirp4netns.

It runs beside outer, in the host's network, holding a tap device in the sandbox's network namespace. Inside:
address 10.0.2.100/24, gateway 10.0.2.2, a DNS forwarder at 10.0.2.3. It ends when outer ends (``--exit-fd``).
"""

from __future__ import annotations

import asyncio
import os
import subprocess

from labdock.errors import HostUnfit, SystemFailure

#: slirp4netns's own fixed plan of its network.
GATEWAY = "10.0.2.2"
NAMESERVER = "10.0.2.3"
#: Large segments are what makes a user-mode stack fast; 65520 is the most it takes.
MTU = 65520
#: Bytes of its stderr that are kept.
_KEPT = 4096


class Egress:
    """A running slirp4netns."""

    def __init__(
        self, process: subprocess.Popen[bytes], pidfd: int, exit_fd: int, loop: asyncio.AbstractEventLoop
    ) -> None:
        assert process.stderr is not None
        self._process = process
        self._pidfd = pidfd
        self._exit_fd = exit_fd
        self._loop = loop
        self._stderr = process.stderr
        self._said = b""
        self._ended: asyncio.Future[int] = loop.create_future()
        os.set_blocking(self._stderr.fileno(), False)
        loop.add_reader(self._stderr.fileno(), self._listen)
        loop.add_reader(pidfd, self._reap)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def said(self) -> str:
        """The end of what it wrote to stderr."""
        return self._said.decode(errors="replace").strip()

    async def wait(self) -> int:
        """Its exit status, once it has ended (negative: the signal)."""
        return await asyncio.shield(self._ended)

    async def close(self) -> None:
        """End it and wait for that, at most 2 s before SIGKILL. Safe to call twice."""
        self._close_exit()
        try:
            async with asyncio.timeout(2):
                await self.wait()
        except TimeoutError:
            self._process.kill()
            await self.wait()

    def _close_exit(self) -> None:
        if self._exit_fd >= 0:
            os.close(self._exit_fd)
            self._exit_fd = -1

    def _listen(self) -> None:
        try:
            data = os.read(self._stderr.fileno(), 65536)
        except BlockingIOError:
            return
        self._said = (self._said + data)[-_KEPT:]
        if not data:
            self._loop.remove_reader(self._stderr.fileno())

    def _reap(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        status = self._process.wait()
        self._listen()
        self._loop.remove_reader(self._stderr.fileno())
        self._stderr.close()
        self._close_exit()
        self._ended.set_result(status)


async def start(binary: str, pid: int, *, host_loopback: bool = False, seconds: float = 10.0) -> Egress:
    """Give the network namespace of *pid* (a sandbox's first process) a way out by its link ``tap0``.

    Returns when the link, its address and the default route are there. *host_loopback*: 10.0.2.2 reaches the
    host's loopback. Raises HostUnfit when *binary* is not there or can't get a TUN device, SystemFailure with
    its own words when it ends or is not ready within *seconds*.
    """
    ready_read, ready_write = os.pipe2(os.O_CLOEXEC)
    exit_read, exit_write = os.pipe2(os.O_CLOEXEC)
    command = [binary, "--configure", f"--mtu={MTU}", f"--ready-fd={ready_write}", f"--exit-fd={exit_read}"]
    if not host_loopback:
        command.append("--disable-host-loopback")
    command += [str(pid), "tap0"]
    try:
        process = _run(command, (ready_write, exit_read))
    except OSError as error:
        os.close(ready_read)
        os.close(exit_write)
        raise HostUnfit(
            f"starting {binary}: {error.strerror}", hint="an administrator can install it: apt-get install slirp4netns"
        ) from error
    finally:
        os.close(ready_write)
        os.close(exit_read)
    egress = Egress(process, os.pidfd_open(process.pid), exit_write, asyncio.get_running_loop())
    try:
        if await _wait_ready(ready_read, seconds):
            return egress
    except BaseException:
        await egress.close()
        raise
    finally:
        os.close(ready_read)
    status = await _end_unready(egress)
    if "/dev/net/tun" in egress.said:
        raise HostUnfit(
            f"slirp4netns can't open the TUN device: {egress.said}",
            hint="an administrator can allow it: modprobe tun; chmod 0666 /dev/net/tun",
        )
    raise SystemFailure(f"{' '.join(command)} was not ready (status {status}): {egress.said or 'it said nothing'}")


def _run(command: list[str], fds: tuple[int, int]) -> subprocess.Popen[bytes]:
    # Popen returns after exec, in about a millisecond; asyncio's own subprocesses need a thread to wait on each.
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, pass_fds=fds
    )


async def _wait_ready(ready: int, seconds: float) -> bool:
    """True when "1" came on *ready*; False at its end of file or after *seconds*."""
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()
    loop.add_reader(ready, _settle, readable)
    try:
        async with asyncio.timeout(seconds):
            await readable
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(ready)
    return os.read(ready, 1) == b"1"


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _end_unready(egress: Egress) -> int:
    """Its status: its own when it fails by itself within a moment (it closes the ready-fd first), else ended."""
    try:
        async with asyncio.timeout(1):
            return await egress.wait()
    except TimeoutError:
        await egress.close()
        return await egress.wait()
