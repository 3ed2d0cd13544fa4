"""Images as people build them, from Debian's packages and from PyPI, on one engine for them all; and what they run.

The machine's mirrors are used (as apt knows them), and its trust store goes along as a secret, for networks that have
a certificate authority of their own.
"""

from __future__ import annotations

import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import stores
from tests.system import stack
from tests.system.conftest import EngineUnderTest, short_folder, wait_until

LABDOCK = str(Path(sys.executable).with_name("labdock"))

#: Debian's packages, downloaded once for all images.
APT = (
    "RUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=cache,target=/var/lib/apt/lists,"
    "sharing=locked rm -f /etc/apt/apt.conf.d/docker-clean && apt-get -qq update && DEBIAN_FRONTEND=noninteractive "
    "apt-get -qq install -y --no-install-recommends "
)
#: pip with a cache that is in no image, and what this machine trusts.
PIP = (
    "RUN --mount=type=cache,target=/root/.cache/pip --mount=type=secret,id=trust,required "
    "PIP_CERT=/run/secrets/trust /venv/bin/pip install --disable-pip-version-check "
)


@pytest.fixture(scope="module")
def debian() -> Iterator[EngineUnderTest]:
    """An engine with ``debian:bookworm``, for this file's tests."""
    root = short_folder()
    engine = EngineUnderTest(root)
    engine.start()
    try:
        said = labdock(engine, "images", "bootstrap", "debian:bookworm")
        assert "debian:bookworm" in engine.docker("images", "--format", "{{.Repository}}:{{.Tag}}"), said
        yield engine
    finally:
        if ids := engine.docker("ps", "-aq", check=False).split():
            engine.docker("rm", "-f", *ids, check=False)
        engine.stop()
        stores.remove(root)


def labdock(engine: EngineUnderTest, *arguments: str, given: str | None = None) -> str:
    done = subprocess.run(
        [LABDOCK, *arguments],
        env=engine.environment,
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    return done.stdout


def build(engine: EngineUnderTest, tag: str, dockerfile: str, *options: str) -> str:
    trust = ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"
    return labdock(engine, "build", "-t", tag, "--secret", f"id=trust,src={trust}", *options, "-", given=dockerfile)


@pytest.mark.limit(300)
def test_nginx_serves_a_page(debian: EngineUnderTest) -> None:
    dockerfile = (
        f"FROM debian:bookworm\n{APT} nginx-light\n"
        "COPY <<page /var/www/html/index.html\n<h1>served</h1>\npage\n"
        'EXPOSE 80\nSTOPSIGNAL SIGQUIT\nCMD ["nginx", "-g", "daemon off;"]\n'
    )
    build(debian, "web", dockerfile)
    container = debian.docker("run", "-d", "-p", "127.0.0.1::80", "web")
    address = debian.docker("port", container, "80/tcp").splitlines()[0]

    def fetch() -> bytes:
        try:
            with urllib.request.urlopen(f"http://{address}/", timeout=5) as answer:
                return bytes(answer.read())
        except OSError:
            return b""

    wait_until(lambda: fetch() == b"<h1>served</h1>\n", "the page is served")
    debian.docker("stop", container)
    assert debian.docker("inspect", "-f", "{{.State.ExitCode}}", container) == "0"
    # The lists and packages were in cache mounts: nothing of them is in the image.
    left = debian.docker("run", "--rm", "web", "sh", "-c", "find /var/lib/apt/lists /var/cache/apt -type f | wc -l")
    assert left == debian.docker(
        "run", "--rm", "debian:bookworm", "sh", "-c", "find /var/lib/apt/lists /var/cache/apt -type f | wc -l"
    )


@pytest.fixture(scope="module")
def services(debian: EngineUnderTest) -> EngineUnderTest:
    """The engine with ``services``: an image with nginx, redis, postgres, and a Python server that asks the two."""
    app = (
        "import http.server, subprocess\n"
        "def ask(*command):\n"
        "    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()\n"
        "class Answer(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        count = ask('redis-cli', '-h', 'cache', 'incr', 'visits')\n"
        "        kept = ask('psql', '-h', 'db', '-U', 'postgres', '-Atc', 'SELECT current_setting($$cluster_name$$)')\n"
        "        self.send_response(200)\n"
        "        self.end_headers()\n"
        "        self.wfile.write(f'{count} {kept}'.encode())\n"
        "http.server.ThreadingHTTPServer(('', 8000), Answer).serve_forever()\n"
    )
    # As in many a configuration: nginx asks Docker's resolver itself, at every request anew.
    proxy = (
        "events {}\nhttp { server { listen 80; resolver 127.0.0.11; proxy_connect_timeout 2s;"
        " set $up http://app:8000; location / { proxy_pass $up; } } }\n"
    )
    start_db = (
        "pg_ctl=$(ls /usr/lib/postgresql/*/bin/postgres); exec su postgres -c "
        '"$pg_ctl -D /var/lib/postgresql/*/main -c listen_addresses=* -c cluster_name=$PROJECT'
        ' -c config_file=$(ls /etc/postgresql/*/main/postgresql.conf) -c hba_file=/hba"'
    )
    dockerfile = (
        f"FROM debian:bookworm\n{APT} nginx-light redis-server postgresql python3\n"
        f"COPY <<'app' /app.py\n{app}app\nCOPY <<'proxy' /etc/nginx/nginx.conf\n{proxy}proxy\n"
        f"COPY <<'db' /db.sh\n{start_db}\ndb\nCOPY <<hba /hba\nlocal all all trust\nhost all all samenet trust\nhba\n"
    )
    build(debian, "services", dockerfile)
    return debian


@pytest.mark.limit(600)
def test_programs_of_two_projects_talk_by_name(services: EngineUnderTest) -> None:
    """nginx before a Python server that counts in redis and keeps in postgres, twice, with the same service names."""
    debian = services
    commands = {
        "cache": ("redis-server", "--protected-mode", "no", "--save", ""),
        "db": ("sh", "/db.sh"),
        "app": ("python3", "/app.py"),
        "web": ("nginx", "-g", "daemon off;"),
    }
    ports = {}
    for project in ("red", "blue"):
        network = f"{project}_default"
        debian.docker("network", "create", network)
        for service, command in commands.items():
            extra = ("-p", "127.0.0.1::80") if service == "web" else ()
            names = ("--name", f"{project}-{service}-1", "--network", network, "--network-alias", service)
            debian.docker("run", "-d", *names, "-e", f"PROJECT={project}", *extra, "services", *command)
        ports[project] = debian.docker("port", f"{project}-web-1", "80/tcp").splitlines()[0]

    def visit(project: str) -> str:
        try:
            with urllib.request.urlopen(f"http://{ports[project]}/", timeout=20) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    for project in ports:
        wait_until(lambda project=project: visit(project).endswith(f" {project}"), "all four talk", 60)  # type: ignore[misc]
    debian.docker("exec", "red-cache-1", "redis-cli", "set", "visits", "100")
    assert visit("red") == "101 red"
    assert not visit("blue").startswith("10"), "the other project's counter is its own"
    # A service that moves is found at its new address by the next request.
    debian.docker(
        "run",
        "-d",
        "--name",
        "red-app-2",
        "--network",
        "red_default",
        "--network-alias",
        "app",
        "services",
        *commands["app"],
    )
    debian.docker("rm", "-f", "red-app-1")
    wait_until(lambda: visit("red").endswith(" red"), "the other app answers")
    debian.docker("rm", "-f", *debian.docker("ps", "-aq").split())


def compose(program: list[str], engine: EngineUnderTest, folder: Path, *words: str) -> str:
    """What *program* (``labdock compose`` or docker-compose) says of the project in *folder*."""
    environment = engine.environment | {"DOCKER_BUILDKIT": "0", "COMPOSE_DOCKER_CLI_BUILD": "0"}
    done = subprocess.run(
        [*program, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.limit(600)
def test_a_stack_by_compose_and_the_same_by_docker_compose(services: EngineUnderTest, tmp_path: Path) -> None:
    folder = stack.write(tmp_path / "shop")
    ours, theirs = [LABDOCK, "compose"], ["/usr/bin/docker-compose", "--no-ansi"]

    def visit() -> str:
        address = services.docker("port", services.docker("ps", "-qf", "label=com.docker.compose.service=web"), "80")
        with urllib.request.urlopen(f"http://{address}/", timeout=20) as answer:
            return str(answer.read().decode())

    compose(ours, services, folder, "up", "-d", "--wait")
    assert visit() == "served: 1 in redis, 1 in postgres"
    assert visit() == "served: 2 in redis, 2 in postgres"
    # Each began when what it waits for had passed a check.
    first = stack.firsts(services)
    for name, needs in (("web", ("app",)), ("app", ("db", "cache"))):
        assert all(first[name, "start"] >= first[other, "healthy"] for other in needs), first
    made = stack.made(services)
    assert "Up" in compose(theirs, services, folder, "ps")
    compose(theirs, services, folder, "down")
    assert {key.split()[0] for key in stack.made(services)} == {"volume"}, "theirs takes ours away"

    compose(theirs, services, folder, "up", "-d")
    compose(ours, services, folder, "up", "-d", "--wait", "--no-recreate")
    assert visit() == "served: 1 in redis, 3 in postgres", "the rows were kept"
    again = stack.made(services)
    differing = {key for key in {*made, *again} if made.get(key) != again.get(key)}
    assert not differing, {key: (made.get(key), again.get(key)) for key in differing}
    assert len(made) > 400, "and that was much"
    compose(ours, services, folder, "down", "-v")
    assert stack.made(services) == {}, "and ours theirs"


@pytest.mark.limit(300)
def test_a_c_program_leaves_its_compiler_behind(debian: EngineUnderTest) -> None:
    dockerfile = (
        f"FROM debian:bookworm AS compile\n{APT} gcc libc6-dev\n"
        "COPY <<'source' /src/main.c\n"
        '#include <stdio.h>\nint main(int count, char **words) { printf("%d words\\n", count - 1); return 3; }\n'
        "source\nRUN gcc -O2 -static -o /app /src/main.c\n"
        "FROM compile AS never\nRUN exit 1\n"
        'FROM scratch\nCOPY --from=compile /app /app\nENTRYPOINT ["/app"]\n'
    )
    build(debian, "program", dockerfile)
    done = subprocess.run(
        ["docker", "run", "--rm", "program", "a", "b"],
        env=debian.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("2 words\n", 3)
    assert int(debian.docker("image", "inspect", "-f", "{{.Size}}", "program")) < 2_000_000


@pytest.mark.limit(600)
def test_data_science_from_pypi_by_a_cache_that_stays(debian: EngineUnderTest) -> None:
    base = f"FROM debian:bookworm\n{APT} python3-venv\nRUN python3 -m venv /venv\n"
    wheels = "--mount=type=cache,id=wheels,target=/wheels"
    fetch = PIP.replace("RUN", f"RUN {wheels}").replace(" install ", " download --dest /wheels ")
    install = f"RUN {wheels} --network=none /venv/bin/pip install --no-index --find-links /wheels numpy\n"
    check = "RUN /venv/bin/python -c 'import numpy; print(\"sum\", numpy.arange(10).sum())'\n"
    assert "sum 45" in build(debian, "science", f"{base}{fetch} numpy\n{install}{check}")
    # Another image, no network in any step of its own: the wheel is in the cache mount.
    assert "sum 45" in build(debian, "again", f"{base}RUN :\n{install}{check}")
    left = debian.docker("run", "--rm", "again", "sh", "-c", "ls -d /wheels /root/.cache /run/secrets 2>&1 || true")
    assert left.count("No such file or directory") == 3


@pytest.mark.limit(900)
def test_a_kernel_runs_in_a_jupyterlab_image(debian: EngineUnderTest) -> None:
    notebook = (
        '{"cells": [{"cell_type": "code", "id": "a", "execution_count": null, "metadata": {}, "outputs": [], '
        '"source": ["print(6 * 7, \\"by the kernel\\")"]}], "metadata": {"kernelspec": {"name": "python3", '
        '"display_name": "Python 3", "language": "python"}}, "nbformat": 4, "nbformat_minor": 5}'
    )
    dockerfile = (
        f"FROM debian:bookworm\n{APT} python3-venv\nRUN python3 -m venv /venv\n{PIP} --quiet jupyterlab\n"
        f"RUN useradd --create-home reader\nUSER reader\nWORKDIR /home/reader\n"
        f"COPY --chown=reader <<'notebook' book.ipynb\n{notebook}\nnotebook\n"
        'CMD ["/venv/bin/jupyter", "lab", "--ip=0.0.0.0", "--no-browser"]\n'
    )
    build(debian, "lab", dockerfile)
    run = "/venv/bin/jupyter execute --inplace book.ipynb && cat book.ipynb && /venv/bin/jupyter lab --version"
    said = debian.docker("run", "--rm", "lab", "sh", "-c", run)
    assert "42 by the kernel" in said
    assert said.splitlines()[-1].startswith("4.")


DATABASES = (
    f"FROM debian:bookworm\n{APT} postgresql redis-server && mkdir /data && chown postgres /data\n"
    "USER postgres\nENV PATH=/usr/lib/postgresql/15/bin:/usr/bin:/bin PGDATA=/data/pg PGHOST=/tmp\n"
    "COPY --chmod=755 <<'script' /start\n#!/bin/sh\n"
    "test -s $PGDATA/PG_VERSION || initdb --auth=trust >/dev/null || exit 1\n"
    "exec postgres -k /tmp -c listen_addresses=\nscript\n"
    'CMD ["/start"]\n'
)


@pytest.mark.limit(600)
def test_postgres_and_redis_keep_their_data_through_kills(debian: EngineUnderTest) -> None:
    build(debian, "databases", DATABASES)
    debian.docker("run", "-d", "--name", "pg", "-v", "pg:/data", "databases")
    redis = ("redis-server", "--dir", "/data", "--appendonly", "yes", "--appendfsync", "always", "--save", "")
    debian.docker("run", "-d", "--name", "kv", "-v", "kv:/data", "databases", *redis)

    def ask(container: str, *command: str) -> str:
        return debian.docker("exec", container, *command, check=False)

    def sql(text: str) -> str:
        return ask("pg", "psql", "-AtX", "-d", "postgres", "-c", text)

    def both_answer() -> bool:
        return sql("select 1") == "1" and ask("kv", "redis-cli", "ping") == "PONG"

    def write(number: int) -> None:
        wait_until(both_answer, "both databases answer", 120)
        sql("create table if not exists t (n int)")
        assert sql(f"insert into t values ({number})") == "INSERT 0 1"
        assert ask("kv", "redis-cli", "rpush", "t", str(number)) == str(number)

    write(1)
    # The container,
    debian.docker("kill", "pg", "kv")
    debian.docker("start", "pg", "kv")
    write(2)
    # the engine, whose containers live on,
    before = debian.pid("engine")
    debian.kill("engine")
    wait_until(lambda: debian.pid("engine") not in (0, before), "a new engine runs")
    write(3)
    # and the sandbox, with all that was in it.
    debian.kill("outer")
    wait_until(lambda: not debian.status()["running"], "outer is gone")
    debian.start()
    debian.docker("start", "pg", "kv")
    write(4)
    assert sql("select string_agg(n::text, ' ' order by n) from t") == "1 2 3 4"
    assert ask("kv", "redis-cli", "lrange", "t", "0", "-1").split() == ["1", "2", "3", "4"]
