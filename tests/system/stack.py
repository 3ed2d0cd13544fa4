"""A stack as people have it: nginx before a Python application that counts in redis and keeps in postgres."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

from tests.system.conftest import EngineUnderTest

#: Both `labdock compose` and docker-compose 1.29 read it. The image ``services`` has all four programs.
FILE = """\
services:
  web:
    image: services
    command: [nginx, -g, "daemon off;"]
    ports: ["127.0.0.1::80"]
    stop_signal: SIGQUIT
    volumes: ["./nginx.conf:/etc/nginx/nginx.conf:ro"]
    networks: [front]
    depends_on:
      app: {condition: service_healthy}
    healthcheck: {test: ["CMD", "service", "nginx", "status"], interval: 200ms, retries: 100}
  app:
    build: {context: app, args: {PORT: "8000"}}
    environment: [DATABASE=db, COUNTER=cache]
    env_file: [app.env]
    expose: ["8000"]
    networks:
      front: {aliases: [backend]}
      back:
    depends_on:
      db: {condition: service_healthy}
      cache: {condition: service_healthy}
    init: true
    ulimits: {nofile: {soft: 512, hard: 1024}}
    healthcheck:
      test: ["CMD", "python3", "-c", "import urllib.request as r; r.urlopen('http://localhost:8000/health')"]
      interval: 200ms
      retries: 100
  db:
    image: services
    command: [sh, /db.sh]
    stop_signal: SIGINT
    environment: {PROJECT: shop}
    volumes: ["rows:/var/lib/postgresql"]
    networks: [back]
    shm_size: 80m
    healthcheck: {test: pg_isready -h localhost -U postgres, interval: 200ms, retries: 100}
  cache:
    image: services
    command: redis-server --protected-mode no --save '' --dir /data
    tmpfs: [/data]
    networks: [back]
    read_only: true
    cap_drop: [CAP_NET_RAW]
    labels: {role: counter}
    healthcheck: {test: ["CMD", "redis-cli", "ping"], interval: 200ms, retries: 100}
networks:
  front:
  back: {internal: true}
volumes:
  rows: {labels: {keep: "yes"}}
"""
NGINX = "events {}\nhttp { server { listen 80; location / { proxy_pass http://backend:8000; } } }\n"
APP = """\
import http.server, os, subprocess

def ask(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

def sql(text):
    return ask("psql", "-h", os.environ["DATABASE"], "-U", "postgres", "-qAtc", text)

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        said = "fine"
        if self.path != "/health":
            visits = ask("redis-cli", "-h", os.environ["COUNTER"], "incr", "visits")
            sql("INSERT INTO visits VALUES (DEFAULT)")
            said = f"{os.environ['GREETING']}: {visits} in redis, {sql('SELECT count(*) FROM visits')} in postgres"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(said.encode())

sql("CREATE TABLE IF NOT EXISTS visits (number serial)")
http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Answer).serve_forever()
"""
DOCKERFILE = 'FROM services\nARG PORT\nENV PORT=$PORT\nCOPY app.py /srv/\nCMD ["python3", "/srv/app.py"]\n'


def write(folder: Path) -> Path:
    """The stack's files in *folder*, which is handed back."""
    (folder / "app").mkdir(parents=True)
    (folder / "docker-compose.yml").write_text(FILE)
    (folder / "nginx.conf").write_text(NGINX)
    (folder / "app.env").write_text("GREETING=served\n")
    (folder / "app" / "Dockerfile").write_text(DOCKERFILE)
    (folder / "app" / "app.py").write_text(APP)
    return folder


def firsts(engine: EngineUnderTest) -> dict[tuple[str, str], int]:
    """When each service's container first started, and first was healthy: ``{("web", "start"): nanoseconds}``."""
    found: dict[tuple[str, str], int] = {}
    said = engine.docker("events", "--since", "0", "--until", str(time.time()), "--format", "{{json .}}")
    for event in map(json.loads, said.splitlines()):
        service = event["Actor"]["Attributes"].get("com.docker.compose.service")
        found.setdefault((service, event["Action"].removeprefix("health_status: ")), event["timeNano"])
    return found


#: Labels by which the two know what they made and how.
_OWN = ("version", "config-hash", "image", "depends_on", "project.config_files")
#: docker-compose 1.29 makes every network attachable, and declares what is mounted as the container's volumes.
_OLD = ("Attachable", "NetworkDisabled", "Volumes")
_CHANGING = ("Pid", "Health", "IPAddress", "MacAddress", "Subnet", "Gateway", "HostPort")
_TIMES_AND_IDS = re.compile(r"[0-9a-f]{12,64}|\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-][\d:]+)")


def made(engine: EngineUnderTest) -> dict[str, Any]:
    """All that `inspect` says of containers, networks and volumes, one value a key; no ids, times, addresses, pids."""
    found: dict[str, Any] = {}
    for kind, command in (("container", "ps -aq"), ("network", "network ls -q -f label=com.docker.compose.project")):
        for each in engine.docker(*command.split()).split():
            data = json.loads(engine.docker(kind, "inspect", each))[0]
            found |= _flat(f"{kind} {_name(data['Name'])}", _comparable(data))
    for each in engine.docker("volume", "ls", "-q").split():
        found |= _flat(f"volume {each}", _comparable(json.loads(engine.docker("volume", "inspect", each))[0]))
    return found


def _flat(place: str, value: Any) -> dict[str, Any]:
    """Whether nothing is said or nothing is meant is all the same."""
    found: dict[str, Any] = {}
    for key, inner in value.items() if isinstance(value, dict) else ():
        found |= _flat(f"{place} {key}", inner)
    return found if isinstance(value, dict) else {} if value in (None, []) else {place: value}


def _name(text: str) -> str:
    """docker-compose 1.29 joins with ``_`` where Compose v2 does with ``-``."""
    return text.lstrip("/").replace("_", "-")


def _comparable(value: Any, key: str = "") -> Any:
    if key in _CHANGING or key in _OLD:
        return None
    if isinstance(value, dict):
        return {
            _name(_TIMES_AND_IDS.sub("…", name)): made
            for name, inner in value.items()
            if name.removeprefix("com.docker.compose.") not in _OWN and (made := _comparable(inner, name)) is not None
        }
    if isinstance(value, list):
        found = [_comparable(inner) for inner in value]
        # 1.29 gives a container its own short id as an alias.
        return sorted(inner for inner in found if inner != "…") if key in ("Env", "Aliases", "DNSNames") else found
    return _name(_TIMES_AND_IDS.sub("…", value)) if isinstance(value, str) else value
