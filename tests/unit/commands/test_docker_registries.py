"""The same words mean the same to docker's own command line where registries are concerned.

Both are run against the same script; the requests, who they say we are, what is printed and what ``config.json`` says
afterwards are compared.
"""

from __future__ import annotations

import base64
import json
import os
import shlex
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labdock.client import Client
from labdock.client.scripted import Asked, Reply, Script, ScriptedServer, ScriptedTransport
from labdock.commands import run
from labdock.errors import LabdockError
from labdock.notebook.face import NotebookFace
from tests.command_line import KEPT, major_version

DIGEST = f"sha256:{'ab' * 32}"
STORED: dict[str, Any] = {
    "auths": {
        "localhost:5000": {"auth": base64.b64encode(b"me:pass:word").decode()},
        "https://index.docker.io/v1/": {"auth": base64.b64encode(b"hub:secret").decode(), "identitytoken": "t0k"},
        "https://old.example/v1/": {"auth": base64.b64encode(b"old:one").decode()},
        "kept.example": {},
    },
    "credHelpers": {"helped.example": "toy"},
    "HttpHeaders": {"X-Mine": "1"},
}
#: A helper that keeps a JSON file beside itself.
HELPER = """#!/usr/bin/python3
import json, os, sys
path = os.path.join(os.environ["TOY"], "secrets.json")
known = json.load(open(path)) if os.path.exists(path) else {}
verb, given = sys.argv[1], sys.stdin.read().strip()
if verb == "get":
    if given not in known:
        print("credentials not found in native keychain")
        sys.exit(1)
    print(json.dumps(known[given]))
elif verb == "list":
    print(json.dumps({server: entry["Username"] for server, entry in known.items()}))
elif verb == "store":
    entry = json.loads(given)
    known[entry["ServerURL"]] = entry
else:
    known.pop(given, None)
json.dump(known, open(path, "w"), sort_keys=True)
"""
SECRETS = {"helped.example": {"ServerURL": "helped.example", "Username": "h", "Secret": "x"}}

#: What docker 28 asks, leaves and prints; LABDOCK_WRITE_GOLDENS=1 writes it anew where such a docker is on PATH.
GOLDEN = Path(__file__).parents[2] / "golden/commands/registries_28.json"
#: words | standard input
WORDS = f"""
pull busybox
pull -q localhost:5000/a:1
pull -a localhost:5000/a
pull -a --platform linux/arm64 a/b
pull --platform linux/arm/v7 a/b:1
pull -q a@{DIGEST}
pull -q a:1@{DIGEST}
pull -q docker.io/library/busybox
pull -q index.docker.io/busybox
pull -q old.example/x/y
pull -q helped.example/a
pull -q kept.example/a
pull -q unknown.example:1/a
pull -a a:1
push -q localhost:5000/a
push -q helped.example/a:1
push -q a/b:1
push -q -a localhost:5000/a
push -q --platform linux/arm/v7 a/b
push -a a/b:1
login -u me -p pw localhost:5000
login -u me -p pw
login -u me -p pw docker.io
login -u me -p pw https://reg.example/v2/
login -u me --password-stdin reg.example | pw
login -u new --password-stdin helped.example | pw
login --password-stdin reg.example | pw
login -u me -p pw --password-stdin reg.example | pw
login localhost:5000
login helped.example
logout localhost:5000
logout
logout helped.example
logout unknown.example
search word
search --limit 5 --no-trunc -f is-official=true -f stars=3 word
search --format json word
search --format '{{{{.Name}}}} {{{{.IsOfficial}}}}' word
image prune -f
image prune -a -f --filter until=1h --filter label=a
import -c 'CMD x' -c 'ENV a=b' -m hello --platform linux/amd64 HERE/root.tar repo/a:2
import HERE/root.tar
import - r | bytes
import http://h.example/x.tar r
system df
system df -v
system df --format '{{{{.Type}}}} {{{{.Size}}}} {{{{.Reclaimable}}}}'
""".strip().split("\n")

USAGE = {
    "LayersSize": 5_000_000,
    "Images": [
        {"Id": DIGEST, "RepoTags": ["a:1", "b:2"], "Created": 1_700_000_000, "Size": 4_260_000, "SharedSize": 60_000,
         "Containers": 1, "RepoDigests": []},
        {"Id": f"sha256:{'cd' * 32}", "RepoTags": [], "RepoDigests": [], "Created": 1_600_000_000, "Size": 900_000,
         "SharedSize": 0, "Containers": 0},
    ],
    "Containers": [
        {"Id": "ef" * 32, "Names": ["/web"], "Image": "a:1", "Command": "httpd -f", "Created": 1_700_000_000,
         "State": "running", "Status": "Up 3 hours", "SizeRw": 1234, "SizeRootFs": 5000, "Ports": [], "Labels": {},
         "Mounts": [{"Type": "volume", "Driver": "local", "Name": "data"}]},
        {"Id": "01" * 32, "Names": ["/old"], "Image": "a:1", "Command": "true", "Created": 1_700_000_000,
         "State": "exited", "Status": "Exited (0) 3 hours ago", "SizeRw": 766, "Ports": [], "Labels": {}},
    ],
    "Volumes": [
        {"Name": "data", "Driver": "local", "UsageData": {"RefCount": 1, "Size": 5000}},
        {"Name": "left", "Driver": "local", "UsageData": {"RefCount": 0, "Size": 70_000}},
    ],
    "BuildCache": [
        {"ID": "abc", "Type": "regular", "Size": 777, "InUse": True, "Shared": False, "UsageCount": 2,
         "CreatedAt": "2021-01-15T07:59:00Z", "Description": "x"},
        {"ID": "abd", "Type": "regular", "Size": 7000, "InUse": False, "Shared": False, "UsageCount": 0,
         "CreatedAt": "2021-01-15T07:59:00Z", "LastUsedAt": "2022-01-15T07:59:00Z", "Description": "y"},
    ],
}  # fmt: skip
HITS = [
    {"name": "a/b", "description": "x" * 60, "star_count": 3, "is_official": True},
    {"name": "a/much-longer-name", "description": "two\nlines", "star_count": 12345, "is_official": False},
]


def answers(token: str) -> Script:
    headers = {"Api-Version": "1.51", "Ostype": "linux"}
    version = "(/v1[.0-9]*)?"
    job = (b'{"status":"Pulling from library/x","id":"latest"}\n',)
    made = (b'{"status":"%s"}\n' % DIGEST.encode(),)

    def create(asked: Asked) -> Reply:
        return Reply(lines=made if "fromSrc" in asked.query else job)

    deleted = {"ImagesDeleted": [{"Untagged": "a:1"}, {"Deleted": DIGEST}], "SpaceReclaimed": 1234}
    return (
        Script()
        .on("HEAD", "/_ping", Reply(headers=headers))
        .on("GET", "/_ping", Reply(body=b"OK", headers=headers))
        .on("POST", f"{version}/images/create", create)
        .on("POST", f"{version}/images/.*/push", Reply(lines=job))
        .on("POST", f"{version}/images/prune", Reply(json=deleted))
        .on("POST", f"{version}/auth", Reply(json={"Status": "Login Succeeded", "IdentityToken": token}))
        .on("GET", f"{version}/images/search", Reply(json=HITS))
        .on("GET", f"{version}/system/df", Reply(json=USAGE))
    )


def told(asked: Asked) -> tuple[Any, ...]:
    """A request with its headers and filters read, without the API's version."""
    path = asked.path.removeprefix("/v" + asked.path.split("/")[1][1:]) if asked.path.startswith("/v1") else asked.path
    auth = asked.headers.get("x-registry-auth")
    known = json.loads(base64.urlsafe_b64decode(auth)) if auth else None
    query = {name: sorted(values) for name, values in asked.query.items()}
    for name in ("filters", "platform"):
        if query.get(name, [""])[0].startswith("{"):
            query[name] = [plain(json.loads(query[name][0]))]
    return asked.method, path, query, known, asked.body.strip()


def plain(value: dict[str, Any]) -> Any:
    """Docker sends filters as ``{"a": {"x": true}}``; the older ``{"a": ["x"]}`` means the same."""
    return sorted((name, sorted(values) if not isinstance(values, str) else values) for name, values in value.items())


class Place:
    """A home with a config.json, a helper and a root.tar."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("config", "bin"):
            (folder / name).mkdir(parents=True)
        (folder / "config/config.json").write_text(json.dumps(STORED))
        (folder / "secrets.json").write_text(json.dumps(SECRETS))
        (folder / "root.tar").write_bytes(b"a tar")
        program = folder / "bin/docker-credential-toy"
        program.write_text(HELPER)
        program.chmod(0o755)
        self.environment = os.environ | {
            "DOCKER_CONFIG": str(folder / "config"),
            "PATH": f"{folder}/bin:{os.environ['PATH']}",
            "TOY": str(folder),
            "HOME": str(folder),
        }

    def after(self) -> tuple[Any, Any]:
        return json.loads((self.folder / "config/config.json").read_text()), json.loads(
            (self.folder / "secrets.json").read_text()
        )


def theirs(words: list[str], given: str, place: Place, script: Script) -> tuple[bool, str]:
    with ScriptedServer(script, place.folder / "s"):
        done = subprocess.run(
            ["docker", "--host", f"unix://{place.folder}/s", *words],
            env=place.environment,
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
    return done.returncode == 0, done.stdout


def ours(words: list[str], given: str, place: Place, script: Script) -> tuple[bool, str]:
    face = NotebookFace(given, client=Client(ScriptedTransport(script), place.environment))
    try:
        shown = run(words, face)
    except LabdockError:
        return False, ""
    return True, "" if shown is None else f"{shown}\n"


@pytest.mark.parametrize(
    ("line", "token"), [*((line, "") for line in WORDS), *((line, "t0ken") for line in WORDS if "login" in line)]
)
def test_the_same(line: str, token: str, tmp_path: Path) -> None:
    mine = observe(ours, line, token, tmp_path / "ours")
    key = f"{line} ({token})" if token else line
    if os.environ.get("LABDOCK_WRITE_GOLDENS") and major_version() >= KEPT:
        kept = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
        kept[key] = observe(theirs, line, token, tmp_path / "kept")
        GOLDEN.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    assert mine == json.loads(GOLDEN.read_text())[key]
    if major_version() >= KEPT:
        assert mine == observe(theirs, line, token, tmp_path / "theirs")


Act = Callable[[list[str], str, "Place", Script], tuple[bool, str]]


def observe(act: Act, line: str, token: str, folder: Path) -> Any:
    """What *act* asks the engine, leaves in its files and prints, as plain JSON."""
    place, script = Place(folder), answers(token)
    words, _, given = line.replace("HERE", str(place.folder)).partition(" | ")
    did, out = act(shlex.split(words), given, place, script)
    asked = [told(request) for request in script.asked if not request.path.endswith("/_ping")]
    text = json.dumps([did, asked, place.after(), printed(line, out, did)], default=repr)
    return json.loads(text.replace(str(place.folder), "HERE"))


def printed(line: str, out: str, did: bool) -> str:
    """What both print alike: all of it, of a transfer with its progress the last line."""
    command = line.split()[0]
    if not did or (command == "push" and "-q" not in line):
        return ""
    # quirk: docker push says "Info -> Using --platform …" on stdout, with -q too.
    if (command == "pull" and "-q" not in line) or (command == "push" and "--platform" in line):
        return out.rstrip("\n").split("\n")[-1]
    return out.rstrip("\n")


def test_a_build_takes_all_credentials_along(tmp_path: Path) -> None:
    place = Place(tmp_path)
    script = Script().on("POST", "/build", Reply(lines=(b'{"stream":"Successfully built ab"}\n',)))
    face = NotebookFace("FROM busybox", client=Client(ScriptedTransport(script), place.environment))
    run(["build", "-q", "-"], face)
    header = json.loads(base64.urlsafe_b64decode(script.asked[0].headers["x-registry-config"]))
    assert header == {
        "localhost:5000": {"username": "me", "password": "pass:word", "serveraddress": "localhost:5000"},
        "https://index.docker.io/v1/": {
            "username": "hub",
            "password": "secret",
            "serveraddress": "https://index.docker.io/v1/",
            "identitytoken": "t0k",
        },
        "https://old.example/v1/": {"username": "old", "password": "one", "serveraddress": "https://old.example/v1/"},
        "helped.example": {"username": "h", "password": "x", "serveraddress": "helped.example"},
    }


def test_a_run_that_pulls_says_who_we_are(tmp_path: Path) -> None:
    replies = iter([Reply(404, {"message": "No such image: x"}), Reply(201, {"Id": "ab" * 32})])
    script = (
        Script()
        .on("POST", "/containers/create", lambda asked: next(replies))
        .on("POST", "/images/create", Reply(lines=()))
        .on("GET", "/containers/.*/json", Reply(json={"Id": "ab" * 32}))
    )
    face = NotebookFace(client=Client(ScriptedTransport(script), Place(tmp_path).environment))
    run(["create", "localhost:5000/a"], face)
    assert told(script.asked[1])[3]["username"] == "me"


def test_the_file_is_its_users_alone_and_the_rest_of_it_stays(tmp_path: Path) -> None:
    place = Place(tmp_path)
    path = tmp_path / "config/config.json"
    elsewhere = tmp_path / "dotfiles.json"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    ours(["login", "-u", "me", "-p", "pw", "reg.example"], "", place, answers(""))
    assert path.is_symlink()
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o600
    assert place.after()[0]["HttpHeaders"] == {"X-Mine": "1"}
    assert sorted(os.listdir(tmp_path)) == ["bin", "config", "dotfiles.json", "root.tar", "secrets.json"]


def test_a_logout_forgets_what_a_pull_would_use(tmp_path: Path) -> None:
    """Docker's own leaves an entry with a path in the file, and goes on using it."""
    place = Place(tmp_path)
    assert ours(["logout", "old.example"], "", place, answers(""))[0]
    assert "https://old.example/v1/" not in place.after()[0]["auths"]
    assert len(place.after()[0]["auths"]) == 3


def test_a_refused_login_keeps_nothing(tmp_path: Path) -> None:
    place, script = Place(tmp_path), answers("")
    script.on("POST", "/auth", Reply(401, {"message": "Get https://reg.example/v2/: unauthorized"}))
    assert ours(["login", "-u", "me", "-p", "pw", "reg.example"], "", place, script) == (False, "")
    assert place.after() == (STORED, SECRETS)


@pytest.mark.parametrize(
    "words",
    ["login -u me -p s3cret reg.example", "pull localhost:5000/a", "login localhost:5000", "push localhost:5000/a"],
)
@pytest.mark.parametrize("status", [200, 500])
def test_no_secret_is_ever_shown(
    words: str, status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place, script = Place(tmp_path), answers("")
    if status != 200:
        script.on("POST", "/.*", Reply(status, {"message": "it broke"}))
    shown = ours(shlex.split(words), "", place, script)[1]
    text = "".join((shown, *capsys.readouterr()))
    assert not [
        secret for secret in ("s3cret", "pass:word", STORED["auths"]["localhost:5000"]["auth"]) if secret in text
    ]


def test_a_helper_that_is_missing_stops_no_pull(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place, script = Place(tmp_path), answers("")
    (tmp_path / "bin/docker-credential-toy").unlink()
    assert ours(["pull", "-q", "helped.example/a"], "", place, script)[0]
    said = capsys.readouterr().err
    assert "docker-credential-toy, which is not on PATH" in said
    assert not ours(["login", "-u", "a", "-p", "b", "helped.example"], "", place, script)[0]


def test_where_a_registry_wants_a_login_the_hint_says_so(tmp_path: Path) -> None:
    script = Script().on("POST", "/images/create", Reply(401, {"message": "authentication required"}))
    client: Callable[[], NotebookFace] = lambda: NotebookFace(client=Client(ScriptedTransport(script)))  # noqa: E731
    with pytest.raises(LabdockError) as caught:
        run(["pull", "-q", "reg.example/a"], client())
    assert caught.value.hint == "`login reg.example` keeps credentials for this registry"
