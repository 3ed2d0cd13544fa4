"""What conmon is told and what it leaves behind. Its own doings are in the conformance suite."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from labdock.runtime import Bundle
from labdock.runtime.monitor import conmon, processes
from labdock.runtime.monitor.layout import Layout


def _line(**wishes: bool) -> list[str]:
    bundle = Bundle("id", Path("/box/c/id"), {}, Path("/logs/id"), **wishes)
    return conmon.command_line("/bin/conmon", ("--no-sync-log",), "/bin/crun", ("--root=/r",), bundle)


def test_command_line() -> None:
    line = _line()
    assert line[0] == "/bin/conmon"
    assert line[line.index("--bundle") + 1] == "/box/c/id"
    assert line[line.index("--log-path") + 1] == "k8s-file:/logs/id"
    assert line[line.index("--runtime-arg") + 1] == "--root=/r"
    assert "--no-sync-log" in line
    assert "--no-new-keyring" in line, "a user has 200 keys, and may have more containers"
    assert not {"--terminal", "--stdin", "--leave-stdin-open"} & set(line)


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"tty": True}, {"--terminal"}),
        ({"stdin": True}, {"--stdin", "--leave-stdin-open"}),
        ({"stdin": True, "stdin_once": True}, {"--stdin"}),
        ({"stdin_once": True}, set()),
    ],
)
def test_streams(wishes: dict[str, bool], words: set[str]) -> None:
    assert {"--terminal", "--stdin", "--leave-stdin-open"} & set(_line(**wishes)) == words


def test_options_are_those_the_program_has(tmp_path: Path) -> None:
    """quirk: conmon before 2.1 ends with "Unknown option --no-sync-log"."""
    (tmp_path / "new").write_bytes(b"\x7fELF\0no-sync-log\0")
    (tmp_path / "old").write_bytes(b"\x7fELF\0")
    assert conmon.usable_options(str(tmp_path / "new")) == ("--no-sync-log",)
    assert conmon.usable_options(str(tmp_path / "old")) == ()


def test_exit_file(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert conmon.read_exit(layout, "id") is None
    layout.exits.mkdir()
    path = layout.exits / "id"
    path.write_text("")
    assert conmon.read_exit(layout, "id") is None
    path.write_text("137")
    os.utime(path, ns=(5_000_000_000, 7_000_000_000))
    end = conmon.read_exit(layout, "id")
    assert end is not None
    assert (end.code, end.at, end.oom_killed) == (137, 7_000_000_000, False)
    layout.out_of_memory.touch()
    end = conmon.read_exit(layout, "id")
    assert end is not None
    assert end.oom_killed


def test_monitor_is_known_by_its_whole_command_line(tmp_path: Path) -> None:
    script = "echo up; read x"
    words = ["sh", "-c", script, "conmon", "--full-attach", "--cid", "some-id", "--bundle", str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        # Popen returns in the middle of exec(2), when the command line may not be there yet.
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        assert conmon.is_monitor(child.pid, tmp_path)
        assert not conmon.is_monitor(child.pid, tmp_path.parent)
        assert conmon.find_monitors()["some-id"] == child.pid
        assert conmon.find_programs(tmp_path) == [child.pid]
        assert processes.parent(child.pid) == os.getpid()
    assert not conmon.is_monitor(child.pid, tmp_path)
    assert processes.parent(child.pid) == 0
