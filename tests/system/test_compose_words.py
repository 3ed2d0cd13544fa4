"""Each word of ``labdock compose``: a line, what it is told, how it ends, what it says. One project for all of them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import stores

from .conftest import EngineUnderTest, short_folder, wait_until

LABDOCK = str(Path(sys.executable).with_name("labdock"))
#: What ends at once when it is told to.
ENDS = "init: true, stop_signal: SIGKILL"
FILE = f"""
name: shop
services:
  web:
    image: busybox:latest
    command: ["sh", "-c", "echo it runs; exec httpd -f -p 80"]
    {ENDS.replace(", ", chr(10) + "    ")}
    ports: ["127.0.0.1::80"]
    volumes: ["data:/data", /anonymous]
    healthcheck: {{test: "true", interval: 100ms}}
  side: {{image: "busybox:latest", command: sleep 1000, {ENDS}, network_mode: "service:web"}}
  lent: {{image: "busybox:latest", command: sleep 1000, {ENDS}, network_mode: "container:outside"}}
  job: {{image: "busybox:latest", command: sh -c 'read word; echo "got $$word"; exit 4', stdin_open: true, {ENDS}}}
  made: {{image: "made:1", build: {{dockerfile_inline: "FROM busybox"}}, profiles: [extra], depends_on: [web]}}
volumes: {{data: , unused: }}
networks: {{default: , unused: }}
"""


class Shop:
    def __init__(self, engine: EngineUnderTest, folder: Path) -> None:
        self.engine, self.folder = engine, folder

    def __call__(self, words: str, code: int = 0, *, given: str | None = None) -> str:
        """What it prints; the words are separated by spaces."""
        done = subprocess.run(
            [LABDOCK, "compose", *words.split()],
            env=self.engine.environment,
            cwd=self.folder,
            input=given,
            stdin=None if given is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    root = short_folder()
    engine = EngineUnderTest(root)
    engine.start()
    try:
        engine.docker("pull", "busybox:latest")
        engine.docker("run", "-d", "--name", "outside", "--init", "busybox", "sleep", "1000")
        folder = tmp_path_factory.mktemp("shop")
        (folder / "compose.yaml").write_text(FILE)
        (folder / "more.env").write_text("MORE=1\n")
        found = Shop(engine, folder)
        found("up -d --wait --quiet-pull web side lent job")
        yield found
    finally:
        if ids := engine.docker("ps", "-aq", check=False).split():
            engine.docker("rm", "-f", *ids, check=False)
        engine.stop()
        stores.remove(root)


#: What leaves the project as it is: the words, the exit code, what is said (a regular expression for all of it).
LOOKING = [
    ("version", 0, r"Docker Compose version v2\.[\d.]+ \(labdock [\d.]+\)\n"),
    ("version --short", 0, r"2\.[\d.]+\n"),
    ("version -f json", 0, r'{"version": "v2\..*"}\n'),
    ("config --services", 0, r"web\nside\nlent\njob\n"),
    ("--profile extra config --services", 0, r"web\nside\nlent\njob\nmade\n"),
    ("config --volumes", 0, r"data\n(unused\n)?"),
    ("config --networks", 0, r"default\n(unused\n)?"),
    ("config --profiles", 0, r"extra\n"),
    ("config --images", 0, r"(busybox:latest\n)+"),
    ("--profile * config --images", 0, r"(busybox:latest\n)+made:1\n"),
    ("config --hash *", 0, r"job [0-9a-f]{64}\nlent [0-9a-f]{64}\nside [0-9a-f]{64}\nweb [0-9a-f]{64}\n"),
    ("config --hash web,job", 0, r"web [0-9a-f]{64}\njob [0-9a-f]{64}\n"),
    ("config --hash nope", 1, r"Error: no such service: nope\n"),
    ("config --environment", 0, r"(?s).*^PATH=.*"),
    ("config -q", 0, r""),
    ("convert -q", 0, r""),
    ("config nope", 1, r"Error: no such service: nope\n"),
    ("--env-file more.env config --environment", 0, r"(?s).*^MORE=1$.*"),
    ("ls -q", 0, r"shop\n"),
    ("ls --filter name=sho", 0, r"NAME +STATUS +CONFIG FILES\nshop +running\(4\) +/.*/compose.yaml\n"),
    ("ls --filter name=nope -q", 0, r""),
    ("ls --filter size=1", 1, r"Error: invalid filter 'size'\n\nhint: name=PART\n"),
    ("ps -q web", 0, r"[0-9a-f]{64}\n"),
    ("ps --services", 0, r"job\nlent\nside\nweb\n"),
    ("ps --status exited", 0, r"NAME .*\n"),
    ("ps --filter status=running --services", 0, r"job\nlent\nside\nweb\n"),
    ("ps --filter color=red", 1, r"(?s)Error: invalid filter 'color'\n.*"),
    ("ps --no-orphans --services side", 0, r"side\n"),
    ("ps nope", 1, r"Error: no such service: nope\n"),
    ("volumes", 0, r"DRIVER +VOLUME NAME\nlocal +shop_data\n"),
    ("volumes -q web", 0, r"shop_data\n"),
    ("volumes -q side", 0, r""),
    ("volumes --format json", 0, r'{"Driver":"local","Name":"shop_data"}\n'),
    ("images -q web", 0, r"[0-9a-f:sha]{64,}\n"),
    ("images web", 0, r"CONTAINER .*\nshop-web-1 +busybox +latest +linux/\w+ +[0-9a-f]{12} +[\d.]+ ?[kM]B\n"),
    ("top side", 0, r"(?s)shop-side-1\nUID .*sleep 1000\n"),
    ("port web 80", 0, r"127\.0\.0\.1:\d+\n"),
    ("port --protocol udp web 80", 1, r"Error: no port 80/udp for container of web\n"),
    ("port side 80", 1, r"Error: no port 80/tcp for container of side\n"),
    ("stats --no-stream --format {{.Name}} web", 0, r"shop-web-1\n"),
    ("stats --no-stream --format {{.Name}}", 0, r"(shop-(job|lent|side|web)-1\n){4}"),
    ("stats nope", 1, r"Error: no such service: nope\n"),
    ("logs --no-log-prefix --no-color web", 0, r"it runs\n"),
    ("--ansi always logs web", 0, r"\x1b\[\d+mweb-1  \| \x1b\[0mit runs\n"),
    ("--ansi never logs --no-log-prefix web", 0, r"it runs\n"),
    ("exec -T side wget -q -O - http://localhost/nope", 1, r"(?s).*404 Not Found.*"),
    ("events --since 1 --until 2", 0, r""),
    ("attach --index 9 web", 1, r'(?s)Error: service "web" is not running container #9\n.*'),
    ("wait nope", 1, r"Error: no such service: nope\n"),
    ("watch", 1, r"(?s)Error: compose watch is not supported\n.*"),
    ("up --watch", 1, r"(?s)Error: compose up --watch is not supported\n.*"),
    ("publish x", 1, r"(?s)Error: compose publish is not supported\n.*"),
    ("bridge convert", 1, r"(?s)Error: compose bridge is not supported\n.*"),
    ("--dry-run up", 1, r"(?s)Error: compose --dry-run is not supported\n.*"),
    ("--compatibility up", 1, r"(?s)Error: compose --compatibility is not supported\n.*"),
    ("up -d --build --no-build", 1, r"Error: --build and --no-build are incompatible\n"),
    ("create --force-recreate --no-recreate", 1, r"Error: --force-recreate and --no-recreate are incompatible\n"),
    ("create --no-build made", 1, r"(?s).*No such image: made:1.*"),
    ("pull --policy missing web", 0, r""),
    ("--parallel 3 ps -q web", 0, r"[0-9a-f]{64}\nWARNING: --parallel is discarded: .*\n"),
]


def test_looking(shop: Shop) -> None:
    def look(line: tuple[str, int, str]) -> str:
        words, code, said = line
        found = shop(words, code)
        return "" if re.fullmatch(said, found, re.MULTILINE) else f"{words}\n   said {found!r}\n   not  {said!r}"

    with ThreadPoolExecutor(4) as pool:
        wrong = list(filter(None, pool.map(look, LOOKING)))
    assert not wrong, "\n".join(wrong)


def test_what_is_asked_as_json(shop: Shop) -> None:
    web = json.loads(shop("ps --format json web"))
    assert (web["Name"], web["Service"], web["Project"], web["State"]) == ("shop-web-1", "web", "shop", "running")
    assert (web["Health"], web["ExitCode"]) == ("healthy", 0)
    assert web["Publishers"][0] | {"PublishedPort": 0} == {
        "URL": "127.0.0.1",
        "TargetPort": 80,
        "PublishedPort": 0,
        "Protocol": "tcp",
    }
    (image,) = json.loads(shop("images --format json web"))
    assert (image["ContainerName"], image["Repository"], image["Tag"]) == ("shop-web-1", "busybox", "latest")
    assert [(each["Name"], each["Status"]) for each in json.loads(shop("ls --format json"))] == [("shop", "running(4)")]
    config = json.loads(shop("config --format json"))
    assert config["name"] == "shop" and config["services"]["side"]["network_mode"] == "service:web"
    shop("config -o written.yaml")
    assert json.loads(shop("-f written.yaml config --format json")) == config, "what it writes means the same again"


def test_a_network_is_another_services_or_containers(shop: Shop) -> None:
    def network(name: str) -> str:
        return shop.engine.docker("exec", name, "readlink", "/proc/self/ns/net")

    assert network("shop-side-1") == network("shop-web-1") != network("outside") == network("shop-lent-1")


def test_changing(shop: Shop) -> None:
    waited = []
    thread = threading.Thread(target=lambda: waited.append(shop("wait job", 4)))
    thread.start()
    assert shop("attach job", 4, given="a word\n").startswith("got a word\n")
    thread.join(60)
    assert waited == ['container "shop-job-1" exited with status code 4\n']
    assert "(4)" in shop("ps --status exited job")
    since = re.search(r"\d+", shop("exec -T web date +%s"))
    for words, said in (
        ("pause side", "shop-side-1 Paused"),
        ("unpause side", "shop-side-1 Unpaused"),
        ("restart -t 0 side", "shop-side-1 Restarted"),
        ("kill -s KILL side", "shop-side-1 Killed"),
        ("start side", "shop-side-1 Started"),
        ("stop -t 0 side", "shop-side-1 Stopped"),
        ("rm -f side", "shop-side-1 Removed"),
        ("create side", "shop-side-1 Created"),
        ("start --wait side", "shop-side-1 Started"),
        ("up -d --no-deps --always-recreate-deps side", "shop-side-1 Recreated"),
    ):
        assert said in shop(words), words
        if words.startswith("kill"):
            wait_until(lambda: "side" not in shop("ps --services"), "the kill")
    assert since is not None
    heard = shop(f"events --json --since {since[0]} --until {shop('exec -T web date +%s').strip()} side")
    actions = [json.loads(line)["action"] for line in heard.splitlines()]
    assert [action for action in actions if "exec" not in action][:3] == ["pause", "unpause", "kill"]
    shop("commit -m changed -a me web shop-kept:1")
    assert shop.engine.docker("image", "inspect", "-f", "{{.Author}} {{.Comment}}", "shop-kept:1") == "me changed"
    shop("export -o web.tar web")
    with tarfile.open(shop.folder / "web.tar") as tar:
        assert "bin/busybox" in tar.getnames()
    ways = "--rm -T -q --no-deps --cap-drop ALL --env-from-file more.env -e A=2"
    said = shop(f"run {ways} web sh -c env;cat</proc/self/status")
    assert "MORE=1\n" in said and "A=2\n" in said and "CapEff:\t0000000000000000" in said
    assert "shop-made-1 Started" in shop("up -d --quiet-build made")
    said = shop("--profile extra wait --down-project made")
    assert "exited with status code" in said and "shop-web-1 Removed" in said
    assert shop("--profile extra ps -aq") == "" and shop("volumes -q") == "shop_data\n"
    said = shop("--profile extra down -v --rmi all")
    assert "Volume shop_data Removed" in said and "Image made:1 Removed" in said
    assert "Image busybox:latest Resource is still in use" in said
    assert shop.engine.docker("image", "ls", "-q", "made:1") == ""
