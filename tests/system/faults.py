"""The table of faults: for every intent that the engine records, what makes it one and what a kill there leaves."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import docker.errors
from docker import DockerClient as Client

from labdock.store.intents import Action
from tests.system.conftest import EngineUnderTest

#: Writes its number without end.
TICKS = ["sh", "-c", "i=0; while :; do echo $((i+=1)) > /tick; sleep 0.02; done"]


def nothing(_client: Client) -> None:
    """It needs nothing beforehand."""


def make_victim(client: Client) -> None:
    client.containers.create("busybox", ["sleep", "1000"], name="victim", volumes=["/data"])


def run_victim(client: Client) -> None:
    client.containers.run("busybox", TICKS, name="victim", detach=True)


def make_network(client: Client) -> None:
    client.networks.create("goes")


def run_beside_network(client: Client) -> None:
    make_network(client)
    run_victim(client)


def run_in_network(client: Client) -> None:
    run_beside_network(client)
    client.networks.get("goes").connect("victim")


def make_volume(client: Client) -> None:
    client.volumes.create("goes")


def is_there(look: Callable[[str], object], name: str) -> bool:
    try:
        look(name)
    except docker.errors.NotFound:
        return False
    return True


def networks_of(client: Client, name: str) -> list[str]:
    """The networks of a container; of one that runs, held against the links that it sees."""
    container = client.containers.get(name)
    found = sorted(container.attrs["NetworkSettings"]["Networks"])
    if container.status == "running":
        links = container.exec_run(["ls", "/sys/class/net"]).output.split()
        assert len(links) == len(found) + 1, (links, found)
    return found


def check_not_started(client: Client, _moment: str) -> None:
    """Its client got no answer: it did not start, says so, and can be started."""
    victim = client.containers.get("victim")
    assert victim.status == "created"
    assert "killed while it started" in victim.attrs["State"]["Error"]
    victim.start()
    victim.reload()
    assert victim.status == "running"


def check_goes_on(client: Client, moment: str) -> None:
    """A commit that no client heard of made no image before its fact; its container runs on, or ended with all."""
    if moment == "recorded":
        assert not client.images.list("broken")
    victim = client.containers.get("victim")
    assert victim.status in ("running", "exited")
    if victim.status == "running":
        script = 'a=$(cat /tick); while [ "$a" = "$(cat /tick)" ]; do :; done'
        assert victim.exec_run(["timeout", "20", "sh", "-c", script]).exit_code == 0, "its program stands still"
    assert victim.commit("broken").id


def check_connected(client: Client, _moment: str) -> None:
    """A connect that no client heard of is undone, and can be done."""
    assert networks_of(client, "victim") == ["bridge"]
    client.networks.get("goes").connect("victim")
    assert networks_of(client, "victim") == ["bridge", "goes"]


def check_disconnected(client: Client, _moment: str) -> None:
    assert networks_of(client, "victim") == ["bridge"]


def check_no_network(client: Client, _moment: str) -> None:
    assert client.networks.list(names=["comes"]) == []
    client.networks.create("comes")


def check_network_gone(client: Client, _moment: str) -> None:
    assert client.networks.list(names=["goes"]) == []


def check_not_created(client: Client, _moment: str) -> None:
    assert not is_there(client.containers.get, "other")
    assert not [one for one in client.volumes.list() if one.name != "goes"], "its anonymous volume is left"
    create(client)


def check_removed(client: Client, _moment: str) -> None:
    """A removal is announced first: it is finished, the anonymous volume too."""
    assert not is_there(client.containers.get, "victim")
    assert client.volumes.list() == []


def check_no_volume(client: Client, _moment: str) -> None:
    assert not is_there(client.volumes.get, "comes")
    client.volumes.create("comes")


def check_volume(client: Client, _moment: str) -> None:
    """Data goes when its removal is a fact, and not before."""
    client.volumes.get("goes").remove()
    assert not is_there(client.volumes.get, "goes")


def create(client: Client) -> None:
    client.containers.create("busybox", ["true"], name="other", volumes=["/data"])


@dataclass(frozen=True, slots=True)
class Row:
    """One intent: what has to be there, what records it, what must be so after a death in the middle of it."""

    action: Action
    prepare: Callable[[Client], None]
    act: Callable[[Client], object]
    check: Callable[[Client, str], None]
    #: The victim runs while it is done.
    monitored: bool = False
    #: Other points on the way.
    between: tuple[str, ...] = ()

    @property
    def points(self) -> tuple[str, ...]:
        return f"recorded:{self.action}", *self.between, f"acted:{self.action}"


ROWS = [
    Row(Action.CONTAINER_CREATE, nothing, create, check_not_created),
    Row(Action.CONTAINER_START, make_victim, lambda c: c.containers.get("victim").start(), check_not_started),
    Row(
        Action.CONTAINER_COMMIT, run_victim, lambda c: c.containers.get("victim").commit("broken"), check_goes_on, True
    ),
    Row(
        Action.CONTAINER_REMOVE,
        make_victim,
        lambda c: c.containers.get("victim").remove(v=True),
        check_removed,
        between=("remove:unlisted",),
    ),
    Row(Action.NETWORK_CREATE, nothing, lambda c: c.networks.create("comes"), check_no_network),
    Row(
        Action.NETWORK_CONNECT,
        run_beside_network,
        lambda c: c.networks.get("goes").connect("victim"),
        check_connected,
        True,
    ),
    Row(
        Action.NETWORK_DISCONNECT,
        run_in_network,
        lambda c: c.networks.get("goes").disconnect("victim"),
        check_disconnected,
        True,
    ),
    Row(Action.NETWORK_REMOVE, make_network, lambda c: c.networks.get("goes").remove(), check_network_gone),
    Row(Action.VOLUME_CREATE, nothing, lambda c: c.volumes.create("comes"), check_no_volume),
    Row(Action.VOLUME_REMOVE, make_volume, lambda c: c.volumes.get("goes").remove(), check_volume),
]
POINTS = [(row, point) for row in ROWS for point in row.points]


def tidy(client: Client) -> None:
    """Remove whatever a row has made."""
    for name in ("victim", "other"):
        with contextlib.suppress(docker.errors.NotFound):
            client.containers.get(name).remove(v=True, force=True)
    for network in client.networks.list(names=["comes", "goes"]):
        network.remove()
    for volume in client.volumes.list():
        volume.remove()
    for image in client.images.list():
        if "busybox:latest" not in image.tags:
            client.images.remove(image.id, force=True)


def traces(engine: EngineUnderTest) -> dict[str, set[str]]:
    """All that containers, networks and volumes leave outside of their records: links, rules, mounts, folders."""
    inner, data = engine.pid("inner"), engine.data
    spaces = [f"--user=/proc/{inner}/ns/user", f"--net=/proc/{inner}/ns/net", f"--mount=/proc/{inner}/ns/mnt"]
    # A prepared network namespace has a name that begins with ~.
    script = "ip -o link; echo; nft list chains; echo; cd $0/box; ls -d c/* crun/* netns/[!~]* shm/* rootfs/* 2>&-; :"
    command = ["nsenter", *spaces, "--preserve-credentials", "sh", "-c", script, str(engine.run)]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    links, chains, box = shown.split("\n\n")
    mounted = [line.split()[4] for line in Path(f"/proc/{inner}/mountinfo").read_text().splitlines()]
    return {
        "links": {line.split(": ")[1] for line in links.splitlines()},
        "rules": {line.strip() for line in chains.splitlines() if "chain" in line},
        "box": set(box.split()),
        "mounts": {place for place in mounted if place.startswith(str(engine.root)) and "/~" not in place},
        "containers": set(os.listdir(data / "containers")),
        "volumes": set(os.listdir(data / "volumes")),
        "trash": {str(path) for path in data.glob("volumes/.*/*")},
        "scratch": {str(path) for name in ("scratch", "tmp", "content/ingest") for path in (data / name).iterdir()},
        "snapshots": {path.name for path in (data / "snapshots/overlay").iterdir()},
    }


def check_settled(engine: EngineUnderTest) -> None:
    """In the databases of an engine that was stopped no intent is open, and snapshots are of containers that are."""
    assert column(engine.data / "labdock.db", "SELECT action || ' ' || subject FROM intents") == []
    keys = column(engine.data / "snapshots/overlay/ledger.db", "SELECT key FROM snapshots")
    assert {key for key in keys if not key.startswith("sha256:")} == set(os.listdir(engine.data / "containers"))


def column(database: Path, query: str) -> list[str]:
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as opened:
        return [str(row[0]) for row in opened.execute(query)]


def check_same(engine: EngineUnderTest, before: dict[str, set[str]], what: str) -> None:
    """Wait until nothing is there that was not there *before*, and all that was."""
    end = time.monotonic() + 20
    while (now := traces(engine)) != before and time.monotonic() < end:
        time.sleep(0.05)
    differs = {kind: (found - before[kind], before[kind] - found) for kind, found in now.items()}
    assert now == before, f"{what} left or took: { ({kind: both for kind, both in differs.items() if any(both)}) }"
