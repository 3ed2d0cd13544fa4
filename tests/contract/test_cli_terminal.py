"""The docker CLI in a terminal: -it, its size, detach keys, a terminal that goes away; and published ports, follow."""

from __future__ import annotations

import re
import time
import urllib.request

from .clients import PATIENCE, Docker

CTRL_P, CTRL_Q, CTRL_A, CTRL_D = "\x10", "\x11", "\x01", "\x04"


def state(docker: Docker, name: str) -> str:
    return docker.ok("inspect", "-f", "{{.State.Status}}", name).strip()


def test_run_in_a_terminal(docker: Docker) -> None:
    with docker.terminal("run", "-it", "--rm", "busybox", "sh", rows=33, columns=101) as terminal:
        terminal.expect("# ")
        terminal.send("stty size; echo at $((6*7))\r")
        terminal.expect("33 101\r\n")
        terminal.expect("at 42\r\n")
        terminal.send("exit 6\r")
        assert terminal.wait() == 6


def test_a_terminal_is_resized(docker: Docker) -> None:
    with docker.terminal("run", "-it", "--rm", "busybox", "sh") as terminal:
        terminal.expect("# ")
        # The quotes keep the echoed command from looking like its output.
        terminal.send("until [ \"$(stty size)\" = '40 120' ]; do sleep 0.1; done; echo RE''SIZED; exit\r")
        terminal.resize_until(40, 120, "RESIZED")
        assert terminal.wait() == 0


def test_exec_in_a_terminal(docker: Docker) -> None:
    docker.ok("run", "-d", "--name", "xx", "busybox", "sleep", "60")
    with docker.terminal("exec", "-it", "-e", "A=b", "xx", "sh", rows=20, columns=70) as terminal:
        terminal.expect("# ")
        terminal.send("echo $A; tty; stty size\r")
        terminal.expect("b\r\n/dev/(pts/[0-9]+|console)\r\n20 70\r\n")
        terminal.send(f"exit 3{CTRL_D}\r")
        assert terminal.wait() == 3
    assert state(docker, "xx") == "running"


def test_ctrl_c_reaches_the_process_and_not_the_client(docker: Docker) -> None:
    with docker.terminal(
        "run", "-it", "--rm", "busybox", "sh", "-c", "trap 'echo caught; exit 8' INT; echo ready; sleep 60 & wait"
    ) as terminal:
        terminal.expect("ready")
        terminal.send("\x03")
        terminal.expect("caught")
        assert terminal.wait() == 8


def test_detach_and_attach_again(docker: Docker) -> None:
    with docker.terminal("run", "-it", "--name", "dd", "busybox", "sh") as terminal:
        terminal.expect("# ")
        terminal.send(CTRL_P + CTRL_Q)
        terminal.wait()
    assert state(docker, "dd") == "running"
    with docker.terminal("attach", "--detach-keys", "ctrl-a", "dd") as terminal:
        terminal.send("echo still $((40+2))\r")
        terminal.expect("still 42\r\n")
        terminal.send(CTRL_A)
        terminal.wait()
    assert state(docker, "dd") == "running"
    with docker.terminal("attach", "dd") as terminal:
        terminal.send("exit 5\r")
        assert terminal.wait() == 5
    assert state(docker, "dd") == "exited"


def test_a_client_that_is_killed_leaves_the_container_running(docker: Docker) -> None:
    with docker.terminal("run", "-it", "--name", "kk", "busybox", "sh", "-c", "echo up; sleep 60") as terminal:
        terminal.expect("up")
    assert state(docker, "kk") == "running"
    assert docker.ok("exec", "kk", "echo", "well") == "well\n"


def test_a_published_port_serves(docker: Docker) -> None:
    page = "echo page > /tmp/index.html; exec httpd -f -p 80 -h /tmp"
    docker.ok("run", "-d", "--name", "web", "-p", "127.0.0.1::80", "busybox", "sh", "-c", page)
    address = docker.ok("port", "web", "80").strip()
    assert re.fullmatch(r"127\.0\.0\.1:\d+", address)
    with urllib.request.urlopen(f"http://{address}/", timeout=PATIENCE) as answer:
        assert answer.read() == b"page\n"
    assert f"{address}->80/tcp" in docker.ok("ps", "--format", "{{.Ports}}")
    taken = docker("run", "--rm", "-p", f"{address}:80", "busybox", "true")
    assert taken.code == 125
    assert "port is already allocated" in taken.err


def test_logs_are_followed_as_they_are_written(docker: Docker) -> None:
    docker.ok("run", "-d", "-i", "--name", "ff", "busybox", "sh", "-c", "echo first; read x; echo second")
    follower = docker.background("logs", "-f", "ff")
    assert follower.stdout is not None
    with follower.stdout as lines:
        assert lines.readline() == b"first\n"
        docker("attach", "ff", stdin="go\n")
        assert lines.readline() == b"second\n"
        assert lines.readline() == b""
    assert follower.wait(PATIENCE) == 0


def test_events_are_seen_as_they_happen(docker: Docker) -> None:
    since = f"{time.time():.9f}"
    watcher = docker.background("events", "--since", since, "--filter", "type=container", "--format", "{{.Action}}")
    assert watcher.stdout is not None
    with watcher.stdout as lines:
        docker.ok("create", "--name", "probe", "busybox", "true")
        assert lines.readline() == b"create\n"
        docker.ok("start", "-a", "probe")
        seen = [lines.readline().strip()]
        while seen[-1] != b"die":
            seen.append(lines.readline().strip())
        assert b"start" in seen
        docker.ok("rm", "probe")
        assert lines.readline() == b"destroy\n"
    watcher.terminate()
    watcher.wait(PATIENCE)
