"""Programs of the test's own in a container's network, and in the sandbox's: busybox has no server for everything."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.system.conftest import EngineUnderTest

#: Echoes on TCP and UDP at argv[1]; says "ready".
ECHO = """
import asyncio, resource, sys
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
class Datagrams(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport
    def datagram_received(self, data, peer):
        self.transport.sendto(data, peer)
async def serve(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()
async def main():
    port = int(sys.argv[1])
    await asyncio.get_running_loop().create_datagram_endpoint(Datagrams, ("0.0.0.0", port))
    await asyncio.start_server(serve, "0.0.0.0", port, backlog=1024)
    print("ready", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def enter(engine: EngineUnderTest, name: str | None = None) -> list[str]:
    """Words before a command that runs as a program of the host's in the network of *name* (None: the sandbox's)."""
    inner = engine.pid("inner")
    space = f"/proc/{inner}/ns/net"
    if name is not None:
        pid = int(engine.docker("inspect", "-f", "{{.State.Pid}}", name))
        space = f"/proc/{host_pid(inner, pid)}/ns/net"
    return ["nsenter", f"--user=/proc/{inner}/ns/user", f"--net={space}", "--preserve-credentials"]


def look(engine: EngineUnderTest, *command: str) -> str:
    """What *command* prints in the sandbox's network."""
    return subprocess.run([*enter(engine), *command], check=True, capture_output=True, text=True, timeout=60).stdout


@contextmanager
def echoing(engine: EngineUnderTest, name: str, port: int = 7000) -> Iterator[None]:
    """An echo server in the network of the container *name*."""
    command = [*enter(engine, name), sys.executable, "-c", ECHO, str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            yield
        finally:
            server.kill()


def host_pid(inner: int, pid: int) -> int:
    """The host's number of the process that the sandbox calls *pid*."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            lines = (entry / "status").read_text().splitlines()
            numbers = next(line for line in lines if line.startswith("NSpid:")).split()[1:]
            if len(numbers) > 1 and int(numbers[1]) == pid and _descends(int(entry.name), inner):
                return int(entry.name)
        except (OSError, StopIteration):
            continue
    raise AssertionError(f"the sandbox has no process {pid}")


def _descends(pid: int, ancestor: int) -> bool:
    while pid > 1:
        if pid == ancestor:
            return True
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return False
