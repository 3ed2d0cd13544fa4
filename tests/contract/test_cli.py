# ruff: noqa: E501  (a table: one line, one expectation)
"""The docker CLI against the engine: each scenario is a few commands, each line one expectation.

A line: what is typed after ``docker``, the exit code, a pattern for stdout, and one for stderr (both searched;
None: it must be empty). Scenarios start with no container and only the image ``busybox``.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from .clients import Docker

Line = tuple[str, int, str | None, str | None]
ID = r"^[0-9a-f]{64}\n$"

# fmt: off
SCENARIOS: dict[str, list[Line]] = {
    "the engine introduces itself": [
        ("version --format {{.Server.APIVersion}}", 0, r"^1\.51\n$", None),
        ("version", 0, r"(?s)Server:.*OS/Arch: +linux/", None),
        ("info --format {{.OSType}}/{{.Driver}}", 0, r"^linux/\w+", ""),
        ("info", 0, r"Images: 1", ""),
        ("ps", 0, r"^CONTAINER ID +IMAGE +COMMAND +CREATED +STATUS +PORTS +NAMES\n$", None),
        ("images --format {{.Repository}}:{{.Tag}}", 0, r"^busybox:latest\n$", None),
        ("network ls --format {{.Name}}", 0, r"(?m)^bridge$", None),
        ("volume ls -q", 0, None, None),
        ("system df", 0, r"Images +1", None),
    ],
    "run prints, and its exit code is the command's": [
        ("run --rm busybox echo hi", 0, r"^hi\n$", None),
        ("run --rm busybox sh -c 'echo out; echo err >&2'", 0, r"^out\n$", r"^err\n$"),
        ("run --rm busybox sh -c 'exit 7'", 7, None, None),
        ("run --rm busybox true", 0, None, None),
        ("ps -aq", 0, None, None),
    ],
    "run options reach the process": [
        ("run --rm -e A=1 -e B busybox env", 0, r"(?m)^A=1$", None),
        ("run --rm busybox env", 0, r"(?m)^PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin$", None),
        ("run --rm -w /tmp busybox pwd", 0, r"^/tmp\n$", None),
        ("run --rm -w /made/here busybox pwd", 0, r"^/made/here\n$", None),
        ("run --rm -h box busybox hostname", 0, r"^box\n$", None),
        ("run --rm -u 1000:1001 busybox id", 0, r"^uid=1000 gid=1001", None),
        ("run --rm --entrypoint echo busybox hi", 0, r"^hi\n$", None),
        ("run --rm --read-only busybox touch /x", 1, None, r"Read-only file system"),
        ("run --rm --tmpfs /t busybox sh -c 'grep \" /t \" /proc/mounts'", 0, r"^tmpfs /t tmpfs", None),
        ("run --rm --add-host me:10.1.2.3 busybox cat /etc/hosts", 0, r"(?m)^10\.1\.2\.3\s+me$", None),
        ("run --rm --network none busybox sh -c 'ls /sys/class/net'", 0, r"^lo\n$", None),
        ("run --rm busybox sh -c 'ip -o -4 addr show eth0'", 0, r"inet 172\.\d+\.\d+\.\d+/16", None),
        ("run --rm --network host busybox true", 0, None, None),
        ("run --rm --init busybox sh -c 'cat /proc/1/comm'", 0, r"(?i)init|catatonit", None),
        ("run --rm --label a=b busybox true", 0, None, None),
        ("run --rm -t busybox tty", 0, r"^/dev/(pts/\d+|console)\r\n$", None),
    ],
    "a container's life": [
        ("run -d --name web busybox sleep 60", 0, ID, None),
        ("ps --format {{.Names}}:{{.Image}}:{{.State}}", 0, r"^web:busybox:running\n$", None),
        ("ps", 0, r"busybox +\"sleep 60\" +\S.* ago +Up .* +web\n$", None),
        ("inspect -f {{.State.Status}}/{{.State.Running}}/{{.State.ExitCode}} web", 0, r"^running/true/0\n$", None),
        ("exec web echo in", 0, r"^in\n$", None),
        ("pause web", 0, r"^web\n$", None),
        ("ps --format {{.Status}}", 0, r"\(Paused\)\n$", None),
        ("exec web true", 1, None, r"is paused, unpause the container before exec"),
        ("unpause web", 0, r"^web\n$", None),
        ("top web", 0, r"(?s)PID.*sleep 60", None),
        ("stop -t 1 web", 0, r"^web\n$", None),
        ("inspect -f {{.State.Status}}/{{.State.ExitCode}} web", 0, r"^exited/137\n$", None),
        ("ps -q", 0, None, None),
        ("ps -a --format {{.Status}}", 0, r"^Exited \(137\) .* ago\n$", None),
        ("start web", 0, r"^web\n$", None),
        ("restart -t 0 web", 0, r"^web\n$", None),
        ("rename web www", 0, None, None),
        ("kill www", 0, r"^www\n$", None),
        ("wait www", 0, r"^137\n$", None),
        ("rm www", 0, r"^www\n$", None),
        ("ps -aq", 0, None, None),
    ],
    "create, start attached, exit code": [
        ("create --name job busybox sh -c 'echo working; exit 3'", 0, ID, None),
        ("inspect -f {{.State.Status}} job", 0, r"^created\n$", None),
        ("start -a job", 3, r"^working\n$", None),
        ("wait job", 0, r"^3\n$", None),
        ("logs job", 0, r"^working\n$", None),
        ("rm job", 0, r"^job\n$", None),
    ],
    "signals": [
        ("run -d --name tt busybox sh -c 'trap \"echo got; exit 5\" TERM; touch /up; while :; do sleep 0.1; done'", 0, ID, None),
        ("exec tt sh -c 'until [ -e /up ]; do sleep 0.05; done'", 0, None, None),
        ("stop tt", 0, r"^tt\n$", None),
        ("inspect -f {{.State.ExitCode}} tt", 0, r"^5\n$", None),
        ("logs tt", 0, r"^got\n$", None),
        ("kill tt", 1, None, r"is not running"),
        ("run -d --name uu busybox sh -c 'trap \"echo usr; touch /got\" USR1; touch /up; while :; do sleep 0.1; done'", 0, ID, None),
        ("exec uu sh -c 'until [ -e /up ]; do sleep 0.05; done'", 0, None, None),
        ("kill -s USR1 uu", 0, r"^uu\n$", None),
        ("exec uu sh -c 'until [ -e /got ]; do sleep 0.05; done'", 0, None, None),
        ("kill -s NOSUCH uu", 1, None, r"(?i)invalid signal: NOSUCH"),
        ("kill uu", 0, r"^uu\n$", None),
        ("logs uu", 0, r"^usr\n$", None),
    ],
    "limits, stats and update": [
        ("run -d --name web -m 64m --cpus 0.5 busybox sleep 60", 0, ID, r"(?m)^WARNING: .*memory limit is watched"),
        ("inspect -f {{.HostConfig.Memory}}/{{.HostConfig.NanoCpus}} web", 0, r"^67108864/500000000\n$", None),
        ("stats --no-stream --format {{.Name}}|{{.MemUsage}}|{{.PIDs}} web", 0, r"^web\|[\d.]+\w+ / 64MiB\|1\n$", None),
        ("stats --no-stream", 0, r"(?s)CPU %.*web", None),
        ("update --cpu-shares 512 --restart unless-stopped web", 0, r"(?m)^web$", ""),
        ("inspect -f {{.HostConfig.CpuShares}}/{{.HostConfig.RestartPolicy.Name}} web", 0, r"^512/unless-stopped\n$", None),
        ("update -m 5m web", 1, None, r"Minimum memory limit allowed is 6MB"),
        ("update --cpu-quota 50000 web", 1, None, r"CPU Quota cannot be updated as NanoCPUs has already been set"),
        ("run --rm -m 1m busybox true", 125, None, r"Minimum memory limit allowed is 6MB"),
        ("run --rm --cpus 100000 busybox true", 125, None, r"Range of CPUs is from 0\.01 to"),
        ("run --rm --cpuset-cpus 99999 busybox true", 125, None, r"(?i)invalid value|Requested CPUs are not available"),
        ("stats --no-stream nope", 1, "", r"No such container: nope"),
    ],
    "health and restarts": [
        ("run -d --name sick --health-cmd 'exit 1' --health-interval 50ms --health-retries 1 busybox sleep 60", 0, ID, None),
        ("inspect -f {{.State.Health.Status}} sick", 0, r"^(starting|unhealthy)\n$", None),
        ("inspect -f {{.Config.Healthcheck.Test}} sick", 0, r"^\[CMD-SHELL exit 1\]\n$", None),
        ("run -d --name calm --health-cmd true --no-healthcheck busybox sleep 60", 125, None, r"no-healthcheck.*health-"),
        ("run -d --name thrice --restart on-failure:3 busybox sh -c 'echo run; exit 5'", 0, ID, None),
        ("run --rm --restart always busybox true", 125, None, r"(?i)conflicting options"),
        ("run -d --name kept --rm busybox sleep 60", 0, ID, None),
        ("restart -t 0 kept", 0, r"^kept\n$", None),
        ("ps --filter name=kept --format {{.Names}}", 0, r"^kept\n$", None),
        ("rm -f kept", 0, r"^kept\n$", None),
    ],
    "namespaces, devices, security": [
        ("run -d --name donor --ipc shareable busybox sleep 60", 0, ID, None),
        ("exec donor sh -c 'echo handed > /dev/shm/over'", 0, None, None),
        ("run --rm --ipc container:donor --pid container:donor busybox sh -c 'cat /dev/shm/over; ps'", 0, r"(?s)handed.*sleep 60", None),
        ("run --rm --ipc container:nope busybox true", 125, None, r"No such container: nope"),
        ("run --rm --pid odd busybox true", 125, None, r"(?i)invalid PID mode"),
        ("run --rm --device /dev/null:/dev/hole busybox sh -c 'echo x > /dev/hole; ls /dev/hole'", 0, r"^/dev/hole\n$", None),
        ("run --rm --device /dev/nope busybox true", 127, None, r"error gathering device information .* no such file"),
        ("run --rm --security-opt no-new-privileges busybox grep NoNewPrivs /proc/self/status", 0, r"1\n$", None),
        ("run --rm --security-opt what=x busybox true", 125, None, r"invalid --security-opt"),
        ("run --rm --cap-drop ALL busybox grep CapBnd /proc/self/status", 0, r"0000000000000000\n$", None),
        ("run --rm --cap-add WHAT busybox true", 125, None, r"(?i)invalid capability"),
        ("run -d --name limited --ulimit nofile=77:88 --ulimit core=0 busybox sleep 100", 0, r"^[0-9a-f]{64}$", None),
        ("exec limited sh -c 'ulimit -n; ulimit -Hn; ulimit -c'", 0, r"^77\n88\n0\n$", None),
        ("exec --privileged limited sh -c 'ulimit -n'", 0, r"^77\n$", None),
        ("rm -f limited", 0, r"^limited$", None),
        ("run --rm --ulimit nofile=77:88 busybox sh -c 'ulimit -n; ulimit -Hn'", 0, r"^77\n88\n$", None),
        ("run --rm --oom-score-adj 321 busybox cat /proc/self/oom_score_adj", 0, r"^321\n$", None),
        ("run --rm --sysctl net.core.somaxconn=99 busybox cat /proc/sys/net/core/somaxconn", 0, r"^99\n$", None),
        ("run --rm --runtime nope busybox true", 125, None, r"unknown or invalid runtime name: nope"),
        ("run --rm --stop-signal WHAT busybox true", 125, None, r"(?i)invalid signal: WHAT"),
        ("top donor -o pid,comm", 0, r"(?s)^PID +COMM.*sleep", None),
    ],
    "pruning by filters": [
        ("create --name red --label team=red busybox true", 0, ID, None),
        ("create --name blue --label team=blue busybox true", 0, ID, None),
        ("container prune -f --filter label!=team=red", 0, r"(?s)Deleted Containers:.*Total reclaimed space", None),
        ("ps -a --format {{.Names}}", 0, r"^red\n$", None),
        ("container prune -f --filter until=1h", 0, r"^Total reclaimed space: 0B\n$", None),
        ("container prune -f --filter name=red", 1, None, r"invalid filter 'name'"),
        ("container prune -f", 0, r"Deleted Containers:", None),
        ("ps -aq", 0, None, None),
    ],
    "ps filters and formats": [
        ("run -d --name one --label team=red busybox sleep 60", 0, ID, None),
        ("create --name two --label team=blue busybox true", 0, ID, None),
        ("ps -q --no-trunc", 0, ID, None),
        ("ps -a --filter label=team=blue --format {{.Names}}", 0, r"^two\n$", None),
        ("ps -a --filter label=team --format {{.Names}}", 0, r"^two\none\n$", None),
        ("ps -a --filter name=on --format {{.Names}}", 0, r"^one\n$", None),
        ("ps -a --filter status=created --format {{.Names}}", 0, r"^two\n$", None),
        ("ps -a --filter ancestor=busybox --format {{.Names}}", 0, r"^two\none\n$", None),
        ("ps -a --filter status=sleeping", 1, None, r"(?i)invalid filter"),
        ("ps -a -n 1 --format {{.Names}}", 0, r"^two\n$", None),
        ("ps --format '{{.ID}} {{.Label \"team\"}}'", 0, r"^[0-9a-f]{12} red\n$", None),
    ],
    "logs": [
        ("run --name ll busybox sh -c 'echo one; echo two >&2; echo three'", 0, r"^one\nthree\n$", r"^two\n$"),
        ("logs ll", 0, r"^one\nthree\n$", r"^two\n$"),
        ("logs --tail 0 ll", 0, None, None),
        ("logs --since 10m ll", 0, r"^one\nthree\n$", r"^two\n$"),
        ("logs --since 2100-01-01T00:00:00Z ll", 0, None, None),
        ("logs --until 2001-01-01T00:00:00Z ll", 0, None, None),
        ("logs -f ll", 0, r"^one\nthree\n$", r"^two\n$"),
        ("run -d --name ff busybox sh -c 'for i in 1 2 3; do echo $i; sleep 0.2; done'", 0, ID, None),
        ("logs -f ff", 0, r"^1\n2\n3\n$", None),
        ("logs --tail 1 ff", 0, r"^3\n$", None),
        ("logs -t --tail 1 ff", 0, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z 3\n$", None),
        ("run -d -t --name tty busybox echo hi", 0, ID, None),
        ("logs -f tty", 0, r"^hi\r\n$", None),
    ],
    "exec": [
        ("run -d --name xx -e FROM=run busybox sleep 60", 0, ID, None),
        ("exec xx sh -c 'echo out; echo err >&2; exit 9'", 9, r"^out\n$", r"^err\n$"),
        ("exec -e A=1 xx sh -c 'echo $A $FROM'", 0, r"^1 run\n$", None),
        ("exec -w /tmp xx pwd", 0, r"^/tmp\n$", None),
        ("exec -u 33 xx id -u", 0, r"^33\n$", None),
        ("exec -d xx touch /made", 0, None, None),
        ("exec xx sh -c 'for i in 1 2 3 4 5 6 7 8 9; do ls /made && exit; sleep 0.2; done'", 0, r"^/made\n$", None),
        ("exec -t xx tty", 0, r"^/dev/(pts/\d+|console)\r\n$", None),
        ("exec xx nosuchcommand", 127, r"executable file not found|no such file", ""),
        ("exec xx /etc", 126, r"(?i)permission denied|is a directory", ""),
        ("exec nope true", 1, None, r"No such container: nope"),
        ("stop -t 0 xx", 0, r"^xx\n$", None),
        ("exec xx true", 1, None, r"is not running"),
    ],
    "what can't be run, and the codes that say so": [
        ("run --rm busybox nosuchcommand", 127, None, r"nosuchcommand.*(executable file not found|no such file)"),
        ("run --rm busybox /no/such/file", 127, None, r"(?i)no such file or directory"),
        ("run --rm busybox /etc", 126, None, r"(?i)permission denied|is a directory"),
        ("run --rm nope true", 125, None, r"Unable to find image 'nope:latest' locally"),
        ("run --rm nope true", 125, None, r"repository does not exist or may require 'docker login'|no such host"),
        ("create --name cc busybox true", 0, ID, None),
        ("create --name cc busybox true", 1, None, r'Conflict\. The container name "/cc" is already in use by container "?[0-9a-f]{64}'),
        ("create --name 'bad name' busybox true", 1, None, r"(?i)invalid container name \(bad name\)"),
        ("ps -a --format {{.Names}}", 0, r"^cc\n$", None),
        ("run --rm -u nobodyhere busybox true", 125, None, r"(?i)unable to find user nobodyhere|no matching entries in passwd file"),
        ("run --rm --memory lots busybox true", 125, None, r"."),
    ],
    "unknown names": [
        ("inspect nope", 1, r"^\[\]\n", r"(?i)no such object: nope"),
        ("container inspect nope", 1, r"^\[\]\n", r"No such container: nope"),
        ("image inspect nope", 1, r"^\[\]\n", r"No such image: nope"),
        ("network inspect nope", 1, r"^\[\]\n", r"network nope not found|No such network: nope"),
        ("volume inspect nope", 1, r"^\[\]\n", r"(?i)no such volume"),
        ("logs nope", 1, None, r"No such container: nope"),
        ("start nope", 1, None, r"No such container: nope"),
        ("stop nope", 1, None, r"No such container: nope"),
        ("kill nope", 1, None, r"No such container: nope"),
        ("attach nope", 1, None, r"No such container: nope"),
        ("wait nope", 1, None, r"No such container: nope"),
        ("rm nope", 1, None, r"No such container: nope"),
        ("rmi nope", 1, None, r"No such image: nope"),
        ("tag nope other", 1, None, r"No such image: nope"),
        ("pull nope", 1, r".*", r"repository does not exist or may require 'docker login'|no such host"),
        ("service ls", 1, None, r"This node is not a swarm manager"),
        ("export nope", 1, None, r"No such container: nope"),
        ("diff nope", 1, None, r"No such container: nope"),
        ("cp nope:/etc .", 1, None, r"No such container(:path)?: nope"),
        ("commit nope", 1, None, r"No such container: nope"),
    ],
    "removing": [
        ("run -d --name rr busybox sleep 60", 0, ID, None),
        ("rm rr", 1, None, r"(?i)stop the container before"),
        ("rm -f rr", 0, r"^rr\n$", None),
        ("rmi busybox:nope", 1, None, r"No such image: busybox:nope"),
        ("tag busybox mine:1", 0, None, None),
        ("images --format {{.Repository}}:{{.Tag}} mine", 0, r"^mine:1\n$", None),
        ("create --name uses mine:1 true", 0, ID, None),
        ("rmi mine:1", 0, r"^Untagged: mine:1\n$", None),
        ("rmi busybox", 1, None, r"(?i)conflict: unable to (remove|delete).*(is being used|is using|used by)"),
        ("container prune -f", 0, r"Deleted Containers:\n[0-9a-f]{64}", None),
    ],
    "volumes and binds": [
        ("run --rm -v data:/d busybox sh -c 'echo kept > /d/f'", 0, None, None),
        ("run --rm -v data:/d:ro busybox cat /d/f", 0, r"^kept\n$", None),
        ("run --rm -v data:/d:ro busybox touch /d/g", 1, None, r"Read-only file system"),
        ("volume ls -q", 0, r"^data\n$", None),
        ("volume inspect -f {{.Driver}} data", 0, r"^local\n$", None),
        ("create --name holds -v data:/d busybox true", 0, ID, None),
        ("volume rm data", 1, None, r"(?i)volume is in use"),
        ("rm holds", 0, r"^holds\n$", None),
        ("volume rm data", 0, r"^data\n$", None),
        ("run --rm -v relative/path:/d busybox true", 125, None, r"(?i)invalid"),
        ("run --rm --mount type=tmpfs,destination=/t busybox sh -c 'grep \" /t \" /proc/mounts'", 0, r"^tmpfs /t tmpfs", None),
    ],
    "inspect": [
        ("create --name ii -e A=1 -p 8080:80 --label l=v --restart on-failure:2 -v /data busybox echo hi", 0, ID, None),
        ("inspect -f {{.Name}}/{{.Path}}/{{.Args}} ii", 0, r"^/ii/echo/\[hi\]\n$", None),
        ("inspect -f {{.Config.Image}} ii", 0, r"^busybox\n$", None),
        ("inspect -f {{.Config.Env}} ii", 0, r"A=1", None),
        ("inspect -f {{.Config.Labels.l}} ii", 0, r"^v\n$", None),
        ("inspect -f {{.HostConfig.PortBindings}} ii", 0, r"8080", None),
        ("inspect -f {{.HostConfig.RestartPolicy.Name}}:{{.HostConfig.RestartPolicy.MaximumRetryCount}} ii", 0, r"^on-failure:2\n$", None),
        ("inspect -f '{{(index .Mounts 0).Destination}}' ii", 0, r"^/data\n$", None),
        ("inspect -s -f {{.SizeRootFs}} ii", 0, r"^\d+\n$", None),
        ("inspect -f {{.Id}} busybox", 0, r"^sha256:[0-9a-f]{64}\n$", None),
        ("inspect bridge -f {{.Driver}}", 0, r"^bridge\n$", None),
        ("history -q busybox", 0, r"[0-9a-f]{12}|<missing>", None),
    ],
    "events": [
        ("run --name evt --rm busybox true", 0, None, None),
        ("events --since 1h --until=-1s --filter container=evt --format {{.Type}}:{{.Action}}", 0, r"container:create\n(container:\w+\n)*container:start\n(container:\w+\n)*container:die\n(container:\w+\n)*container:destroy\n", None),
        ("events --since 1h --until=-1s --filter container=evt --filter event=die --format {{.Actor.Attributes.exitCode}}", 0, r"^(0\n)+$", None),
        ("events --since 1h --until=-1s --filter type=volume --filter container=evt", 0, r"", None),
    ],
}
# fmt: on


def matches(pattern: str | None, text: str) -> bool:
    return text == "" if pattern is None else re.search(pattern, text) is not None


@pytest.mark.parametrize("title", SCENARIOS)
def test_scenario(title: str, docker: Docker) -> None:
    for command, code, out, err in SCENARIOS[title]:
        done = docker(*shlex.split(command))
        shown = f"docker {command}\n→ {done.code} (expected {code})\nstdout: {done.out!r} (expected {out!r})\nstderr: {done.err!r} (expected {err!r})"
        assert done.code == code, shown
        assert matches(out, done.out), shown
        assert matches(err, done.err), shown


def test_run_with_piped_stdin(docker: Docker) -> None:
    assert docker.ok("run", "--rm", "-i", "busybox", "cat", stdin="one\ntwo\n") == "one\ntwo\n"
    data = bytes(range(256)) * 4096
    assert docker.ok("run", "--rm", "-i", "busybox", "wc", "-c", stdin=data).strip() == str(len(data))
    assert docker.ok("run", "--rm", "-i", "busybox", "md5sum", stdin=b"") == "d41d8cd98f00b204e9800998ecf8427e  -\n"


def test_a_megabyte_comes_back_as_it_was_sent(docker: Docker) -> None:
    text = "0123456789abcde\n" * 65536
    assert docker.ok("run", "--rm", "-i", "busybox", "cat", stdin=text) == text


def test_exec_with_piped_stdin(docker: Docker) -> None:
    docker.ok("run", "-d", "--name", "xx", "busybox", "sleep", "60")
    assert docker.ok("exec", "-i", "xx", "cat", stdin="through\n") == "through\n"
    data = bytes(range(256)) * 4096
    docker.ok("exec", "-i", "xx", "sh", "-c", "cat > /big", stdin=data)
    assert docker.ok("exec", "xx", "wc", "-c", "/big").split()[0] == str(len(data))


def test_start_attached_with_stdin(docker: Docker) -> None:
    docker.ok("create", "-i", "--name", "cc", "busybox", "cat")
    assert docker.ok("start", "-ai", "cc", stdin="again\n") == "again\n"
    assert docker.ok("inspect", "-f", "{{.State.ExitCode}}", "cc") == "0\n"


def test_attach_follows_a_running_container_to_its_end(docker: Docker) -> None:
    docker.ok("run", "-d", "-i", "--name", "cc", "busybox", "sh", "-c", "read line; echo got $line; exit 4")
    done = docker("attach", "cc", stdin="this\n")
    assert (done.code, done.out) == (4, "got this\n")


def test_bind_of_a_folder(docker: Docker, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("from outside\n")
    mount = f"{tmp_path}:/m"
    assert docker.ok("run", "--rm", "-v", mount, "busybox", "cat", "/m/in") == "from outside\n"
    docker.ok("run", "--rm", "-v", mount, "busybox", "sh", "-c", "echo from inside > /m/out")
    assert (tmp_path / "out").read_text() == "from inside\n"
    assert (tmp_path / "out").stat().st_uid == tmp_path.stat().st_uid


def test_cidfile_and_env_file(docker: Docker, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("A=from file\n# comment\nB=2\n")
    out = docker.ok("run", "--cidfile", "id", "--env-file", "env", "busybox", "sh", "-c", "echo $A $B", cwd=tmp_path)
    assert out == "from file 2\n"
    assert docker.ok("inspect", "-f", "{{.Id}}", (tmp_path / "id").read_text()) == (tmp_path / "id").read_text() + "\n"


def test_save_and_load(docker: Docker, tmp_path: Path) -> None:
    docker.ok("tag", "busybox", "saved:1")
    archive = tmp_path / "image.tar"
    docker.ok("save", "-o", str(archive), "saved:1")
    docker.ok("rmi", "saved:1")
    assert docker.ok("load", "-i", str(archive)) == "Loaded image: saved:1\n"
    assert docker.ok("run", "--rm", "saved:1", "echo", "back") == "back\n"
    done = docker("load", stdin="no archive at all")
    assert done.code == 1
    assert done.err != ""
