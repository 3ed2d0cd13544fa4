"""``stats``, ``update`` and ``container prune``."""

from __future__ import annotations

import json
import queue
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from labdock.cli.terminal import Terminal
from labdock.client import Client
from labdock.client.scripted import Asked, Reply, Script, ScriptedTransport
from labdock.commands import run, usage
from labdock.commands.results import Result, Text
from labdock.commands.updating import changes_of
from labdock.errors import EngineUnreachable, InvalidRequest, NoSuchContainer
from labdock.notebook.face import NotebookFace
from labdock.notebook.live import LiveOutput, Picture

ID = "ab" * 32


class Meter:
    """An engine with one busy container: each look finds half of one of two processors used since the last."""

    def __init__(self) -> None:
        self.looks = 0
        self.script = (
            Script()
            .on("GET", "/containers/json", Reply(json=[{"Id": ID, "Names": ["/web"], "State": "running"}]))
            .on("GET", f"/containers/({ID}|web)/stats", self.sample)
            .on("GET", "/containers/gone/stats", Reply(404, {"message": "No such container: gone"}))
            .on("GET", "/containers/idle/stats", Reply(json={"id": "cd" * 32, "name": "/idle", "memory_stats": {}}))
        )

    def sample(self, asked: Asked) -> Reply:
        assert asked.query == {"stream": ["0"], "one-shot": ["1"]}
        self.looks += 1
        found: dict[str, Any] = {
            "id": ID,
            "name": "/web",
            "cpu_stats": {
                "cpu_usage": {"total_usage": self.looks * 500},
                "system_cpu_usage": self.looks * 2000,
                "online_cpus": 2,
            },
            "memory_stats": {"usage": 3 << 20, "stats": {"inactive_file": 1 << 20}, "limit": 8 << 20},
            "networks": {"eth0": {"rx_bytes": 1000, "tx_bytes": 20}, "eth1": {"rx_bytes": 500, "tx_bytes": 0}},
            "blkio_stats": {"io_service_bytes_recursive": [{"op": "read", "value": 5}, {"op": "write", "value": 7}]},
            "pids_stats": {"current": 3},
        }
        return Reply(json=found)

    def run(self, *words: str, **face: Any) -> Any:
        return run(list(words), NotebookFace(client=Client(ScriptedTransport(self.script)), **face))


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "PERIOD", 0.0)
    monkeypatch.setattr(usage, "REDRAWN", 0.0)


def test_no_stream_shows_what_happened_between_two_looks() -> None:
    lines = str(Meter().run("stats", "--no-stream")).splitlines()
    assert lines[0].split("  ")[0] == "CONTAINER ID"
    assert lines[1].split() == [
        "abababababab", "web", "50.00%", "2MiB", "/", "8MiB", "25.00%", "1.5kB", "/", "20B", "5B", "/", "7B", "3",
    ]  # fmt: skip


def test_formats_and_named_containers() -> None:
    shown = str(Meter().run("stats", "--no-stream", "--format", "{{.Container}} {{.CPUPerc}} {{.PIDs}}", "web"))
    assert shown == "web 50.00% 3"
    found = json.loads(str(Meter().run("stats", "--no-stream", "--no-trunc", "--format", "json")))
    assert found["ID"] == ID
    assert str(Meter().run("stats", "--no-stream", "idle")).splitlines()[1].split()[:4] == [
        "cdcdcdcdcdcd",
        "idle",
        "0.00%",
        "0B",
    ]
    with pytest.raises(NoSuchContainer):
        Meter().run("stats", "--no-stream", "gone")


class Streams:
    """An engine that streams: what a test puts in is what comes."""

    def __init__(self, *running: str) -> None:
        self.events: queue.Queue[bytes] = queue.Queue()
        self.samples: dict[str, queue.Queue[bytes]] = {name: queue.Queue() for name in running}
        listed = [{"Id": name, "Names": [f"/{name}"], "State": "running"} for name in running]
        self.script = (
            Script()
            .on("GET", "/containers/json", Reply(json=listed))
            .on("GET", "/events", lambda _asked: Reply(lines=iter(self.events.get, b"")))
            .on("GET", "/containers/[^/]+/stats", self._stats)
        )

    def _stats(self, asked: Asked) -> Reply:
        name = asked.path.split("/")[2]
        if name not in self.samples:
            return Reply(404, {"message": f"No such container: {name}"})
        return Reply(lines=iter(self.samples[name].get, b""))

    def sample(self, name: str, used: int, **more: Any) -> None:
        """A second in which *used* per cent of one of two processors went."""
        times = {"cpu_usage": {"total_usage": used}, "system_cpu_usage": 300, "online_cpus": 2}
        before = {"cpu_usage": {"total_usage": 0}, "system_cpu_usage": 100}
        memory = {"usage": 1 << 20, "limit": 4 << 20}
        found = {"id": name, "name": f"/{name}", "cpu_stats": times, "precpu_stats": before, "memory_stats": memory}
        self.samples[name].put(json.dumps(found | more).encode() + b"\n")

    def event(self, action: str, name: str) -> None:
        found = {"Type": "container", "Action": action, "Actor": {"ID": name}, "time": 1, "timeNano": 1}
        self.events.put(json.dumps(found).encode() + b"\n")

    def look(self, *names: str, everything: bool = False) -> Iterator[str]:
        """The live tables: names and shares of the processor."""
        client = Client(ScriptedTransport(self.script))
        shots = usage.look(client, names, everything=everything, form="{{.Name}}={{.CPUPerc}}", whole=False)
        for shot in shots:
            yield " ".join(str(shot).split())

    @property
    def asked(self) -> list[str]:
        return sorted(asked.path for asked in self.script.asked)


def until(shots: Iterator[str], wanted: str) -> None:
    seen = []
    for shot in shots:
        seen.append(shot)
        if shot == wanted:
            return
        assert len(seen) < 200, f"{wanted!r} did not come: {seen[-5:]}"
    raise AssertionError(f"{wanted!r} did not come before the end: {seen}")


def test_a_live_table_follows_what_starts_and_stops_with_one_request_for_each() -> None:
    streams = Streams("a", "b")
    shots = streams.look()
    streams.sample("a", 50)
    streams.sample("b", 7)
    until(shots, "a=50.00% b=7.00%")
    streams.sample("b", 9)
    until(shots, "a=50.00% b=9.00%")
    streams.samples["c"] = queue.Queue()
    streams.event("start", "c")
    streams.event("start", "c")  # Once more: a list that was read after the event has it too.
    streams.event("start", "gone-already")
    streams.sample("c", 1)
    until(shots, "a=50.00% b=9.00% c=1.00%")
    streams.event("die", "a")
    until(shots, "b=9.00% c=1.00%")
    streams.samples["b"].put(b"")  # Its stream ends: it is removed.
    until(shots, "c=1.00%")
    asked = ["/containers/a/stats", "/containers/b/stats", "/containers/c/stats", "/containers/gone-already/stats"]
    assert streams.asked == [*asked, "/containers/json", "/events"]
    streams.events.put(b"")
    with pytest.raises(EngineUnreachable):
        until(shots, "never")


def test_with_all_what_is_created_comes_and_what_has_ended_stays_until_it_is_removed() -> None:
    streams = Streams("a")
    shots = streams.look(everything=True)
    streams.sample("a", 1)
    until(shots, "a=1.00%")
    streams.event("die", "a")
    streams.sample("a", 0, memory_stats={}, networks={})
    until(shots, "a=0.00%")
    streams.samples["b"] = queue.Queue()
    streams.event("create", "b")
    streams.sample("b", 0, memory_stats={})
    until(shots, "a=0.00% b=0.00%")
    streams.event("destroy", "a")
    until(shots, "b=0.00%")


def test_what_was_named_is_watched_until_all_of_it_is_removed() -> None:
    streams = Streams("a", "b")
    shots = streams.look("a", "b", "a")
    streams.sample("a", 1)
    streams.sample("b", 2)
    until(shots, "a=1.00% b=2.00%")
    streams.samples["a"].put(b"")
    until(shots, "b=2.00%")
    streams.samples["b"].put(b"")
    assert list(shots)[-1:] in ([], [""])
    assert streams.asked == ["/containers/a/stats", "/containers/b/stats"]
    with pytest.raises(NoSuchContainer):
        next(streams.look("a", "nope"))


def test_a_cell_shows_live_stats_in_one_place_until_it_is_interrupted() -> None:
    streams = Streams("a")
    shown: list[str] = []

    def note(picture: Picture) -> None:
        shown.append(picture._repr_mimebundle_()["text/html"])
        if "50.00%" in shown[-1]:
            signal.raise_signal(signal.SIGINT)

    def show(picture: Picture) -> Any:
        note(picture)
        return note

    clock = iter(range(1000))
    streams.sample("a", 50)
    face = NotebookFace(
        client=Client(ScriptedTransport(streams.script)),
        live=lambda picture: LiveOutput(picture, show, lambda: float(next(clock))),
    )
    with pytest.raises(KeyboardInterrupt):
        # The last picture is shown once more at the end, and the test interrupts that as well.
        run(["stats"], face)
    assert len(shown) > 1 and "50.00%" in shown[-1]


def test_a_terminal_redraws_in_place_and_a_pipe_gets_each_table(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(Terminal):
        def __init__(self, terminal: bool) -> None:
            self.terminal = terminal
            self.out = b""

        def output_is_terminal(self) -> bool:
            return self.terminal

        def terminal_size(self) -> tuple[int, int] | None:
            return 3, 80

        def write(self, stream: str, data: bytes) -> None:
            self.out += data

    def shots() -> Iterator[Result]:
        yield Text("a\nb\nc\nd")
        yield Text("e")
        raise KeyboardInterrupt

    screen = Screen(True)
    with pytest.raises(KeyboardInterrupt):  # docker's exit code is then 130
        screen.show_changing(shots())
    assert screen.out == b"\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J\x1b[He\x1b[K\n\x1b[J"
    pipe = Screen(False)
    with pytest.raises(KeyboardInterrupt):
        pipe.show_changing(shots())
    assert pipe.out == b"a\nb\nc\nd\ne\n"


def test_update_sends_what_was_given_and_says_the_engines_warnings_once(capsys: pytest.CaptureFixture[str]) -> None:
    script = Script().on("POST", "/containers/.*/update", Reply(json={"Warnings": ["soft"]}))
    face = NotebookFace(client=Client(ScriptedTransport(script)))
    shown = run(
        ["update", "-m", "64m", "--cpus", "1.5", "--restart", "on-failure:3", "--memory-swap", "-1", "a", "b"], face
    )
    assert str(shown) == "a\nb"
    assert [asked.path for asked in script.asked] == ["/containers/a/update", "/containers/b/update"]
    assert script.asked[0].json == {
        "Memory": 64 << 20, "NanoCpus": 1_500_000_000, "MemorySwap": -1,
        "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
    }  # fmt: skip
    assert capsys.readouterr().err == "WARNING: soft\n"
    with pytest.raises(InvalidRequest, match="you must provide one or more flags"):
        run(["update", "a"], face)


def test_every_option_of_update_has_its_member() -> None:
    options = {
        "blkio_weight": 1, "cpu_period": 2, "cpu_quota": 3, "cpu_rt_period": 4, "cpu_rt_runtime": 5, "cpu_shares": 6,
        "cpus": "1", "cpuset_cpus": "0", "cpuset_mems": "0", "memory": "1k", "memory_reservation": "2k",
        "memory_swap": "3k", "pids_limit": -1, "restart": "always",
    }  # fmt: skip
    assert len(changes_of(options)) == len(options)


def test_prune_asks_first_and_says_what_went(monkeypatch: pytest.MonkeyPatch) -> None:
    done = {"ContainersDeleted": ["aa", "bb"], "SpaceReclaimed": 1500}
    script = Script().on("POST", "/containers/prune", Reply(json=done))
    face = NotebookFace(client=Client(ScriptedTransport(script)))
    monkeypatch.setattr(face, "ask", lambda prompt, secret=False: "n")
    assert str(run(["container", "prune"], face)) == ""
    assert script.asked == []
    shown = str(run(["container", "prune", "-f", "--filter", "until=1h"], face))
    assert shown == "Deleted Containers:\naa\nbb\n\nTotal reclaimed space: 1.5kB"
    assert script.asked[0].query == {"filters": ['{"until":["1h"]}']}
