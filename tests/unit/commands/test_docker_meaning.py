"""``create`` with the same words means the same to docker's own command line: both are run, both requests compared."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from labdock.client import Client
from labdock.client.scripted import Reply, Script, ScriptedServer, ScriptedTransport
from labdock.commands import run
from labdock.errors import LabdockError
from labdock.notebook.face import NotebookFace
from tests.command_line import KEPT, major_version

WORDS = """
busybox
-it busybox sh -c 'echo hi'
-i busybox cat --flag -x
-e A=1 -e FOO -e NOPE busybox
-p 8080:80 -p 127.0.0.1::53/udp -p 9000-9002:90-92 -p [::1]:81:80 busybox
-p 80 -P --expose 7000-7001 busybox
-p 8000-8005:80 busybox
-v /tmp:/data:ro -v named:/x -v /anon -v ./rel:/y busybox
--mount type=bind,src=/tmp,dst=/t,readonly --mount src=v,dst=/v busybox
--mount type=tmpfs,dst=/m,tmpfs-size=1m busybox
--network host busybox
--network mynet --network-alias a --network-alias b busybox
--network name=mynet,alias=a busybox
--network mynet --ip 172.30.0.9 --ip6 fd00::9 --link-local-ip 169.254.8.8 busybox
--network mynet --link db --link cache:mem busybox
--link db:data busybox
--network-alias lonely busybox
--network name=mynet,alias=a --network-alias b busybox
--network name=mynet,driver-opt=a=b,mac-address=02:42:ac:11:00:02 busybox
--network name=one,ip=172.30.0.9,gw-priority=1 --network two busybox
--network one --network one busybox
--network one --network host busybox
--network name=one,nope=1 busybox
--network container:other busybox
--user 1:2 -w /x --hostname h --domainname d busybox
--entrypoint /bin/echo busybox a b
--entrypoint "" busybox a
-l a=1 -l b busybox
--restart on-failure:3 busybox
--restart always busybox
--init --read-only --privileged busybox
--cap-add NET_ADMIN --cap-drop ALL busybox
--tmpfs /run:rw,size=64m --tmpfs /x busybox
--shm-size 128m --ulimit nofile=1024:2048 --ulimit core=-1 busybox
--dns 1.1.1.1 --dns-search example.org --dns-option ndots:2 busybox
--add-host a:1.2.3.4 --add-host b=5.6.7.8 --add-host host.docker.internal:host-gateway busybox
--stop-signal SIGINT --stop-timeout 5 busybox
--memory 512m --memory-swap -1 --cpus 1.5 --cpu-shares 512 --pids-limit 100 busybox
-m 1.5g --memory-swap 2g busybox
--name web --platform linux/amd64 busybox
--health-cmd 'true' --health-interval 5s --health-timeout 1m30s --health-retries 3 --health-start-period 2s busybox
--no-healthcheck busybox
--pid host --ipc host --uts host --userns host --cgroupns private busybox
--device /dev/fuse --device /dev/null:/dev/x:r busybox
--sysctl net.ipv4.ip_forward=1 --security-opt seccomp=unconfined --group-add audio busybox
--log-driver json-file --log-opt max-size=1m busybox
--volumes-from other --oom-score-adj 100 busybox
--annotation a=b --mac-address 02:42:ac:11:00:02 busybox
--cpuset-cpus 0-1 --cpu-quota 1000 --cpu-period 2000 busybox
--cpuset-mems 0 --memory-reservation 64m --memory-swappiness 10 --oom-kill-disable --blkio-weight 300 busybox
--device-read-bps /dev/sda:1mb --device-write-iops /dev/sda:100 --device-cgroup-rule 'c 1:3 mr' busybox
--cgroup-parent x --runtime crun --storage-opt size=1g busybox
--device-read-bps sda busybox
-q --pull never busybox
--init=false --rm=true -t=false busybox
--rm --restart always busybox
-p 99999:80 busybox
-p a:b busybox
--memory x busybox
--ulimit nofile=2:1 busybox
--cpus x busybox
--nope busybox
--name
""".strip().split("\n")

#: What docker 28 asks for the words that older command lines do not know, or take otherwise: exit code, request.
LATER: dict[str, Any] = json.loads((Path(__file__).parents[2] / "golden/commands/create_28.json").read_text())

SAME_AS_ABSENT: dict[str, Any] = {
    "NetworkMode": "default",
    "RestartPolicy": {"Name": "no"},
    "CgroupPermissions": "rwm",
    "MemorySwappiness": -1,
}


#: Docker's command line keeps these in maps, whose order is chance.
UNORDERED = {"Env", "Binds"}
#: Here a name says something even with nothing behind it.
NAMES = {"Volumes", "ExposedPorts", "Labels", "Tmpfs", "PortBindings"}


def plain(value: Any) -> Any:
    """Without what is the same as nothing."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {name: plain(item) for name, item in value.items()}
    found |= {name: sorted(found[name]) for name in UNORDERED if found.get(name)}
    found |= {name: sorted(map(repr, plain_items(value[name]))) for name in NAMES if value.get(name)}
    return {
        name: item
        for name, item in found.items()
        if item not in (None, "", 0, False, [], {}, [0, 0]) and SAME_AS_ABSENT.get(name) != item
    }


def plain_items(value: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(name, plain(item)) for name, item in value.items()]


def answers() -> Script:
    headers = {"Api-Version": "1.51", "Ostype": "linux"}
    return (
        Script()
        .on("HEAD", "/_ping", Reply(headers=headers))
        .on("GET", "/_ping", Reply(body=b"OK", headers=headers))
        .on("POST", "(/v1[.0-9]*)?/containers/create", Reply(201, {"Id": "ab" * 32, "Warnings": []}))
        .on("GET", "/containers/[^/]*/json", Reply(json={"Id": "ab" * 32}))
    )


def asked(script: Script) -> Any:
    found = [request for request in script.asked if request.path.endswith("/create")]
    return (found[-1].query, plain(found[-1].json)) if found else None


def in_order(value: Any) -> Any:
    """With UNORDERED lists sorted, whatever their paths were before."""
    if isinstance(value, list):
        return [in_order(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: sorted(item) if name in UNORDERED else in_order(item) for name, item in value.items()}


@pytest.mark.parametrize("words", WORDS)
def test_the_same_request(words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOO", "bar")
    monkeypatch.chdir(tmp_path)
    theirs, ours = answers(), answers()
    with ScriptedServer(theirs, tmp_path / "s"):
        docker = subprocess.run(
            ["docker", "--host", f"unix://{tmp_path}/s", "create", *shlex.split(words)],
            env=os.environ | {"DOCKER_CONFIG": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
    code = 0
    try:
        run(["create", *shlex.split(words)], NotebookFace(client=Client(ScriptedTransport(ours))))
    except LabdockError as error:
        code = getattr(error, "exit_code", 1)
    if words in LATER:
        mine = msgspec.json.encode([code, asked(ours)]).replace(str(tmp_path).encode(), b"HERE")
        assert in_order(msgspec.json.decode(mine)) == in_order(LATER[words])
    if words not in LATER or major_version() >= KEPT:
        assert (code, asked(ours)) == (docker.returncode, asked(theirs)), docker.stderr
