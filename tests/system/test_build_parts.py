"""Builds that Docker's own call can't carry, on a real engine, through the terminal's command."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import os
import socket
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.system.conftest import EngineUnderTest, wait_until


def run(engine: EngineUnderTest, *arguments: str, check: bool = True) -> str:
    """What ``labdock ARGUMENTS`` says, both streams together."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("labdock")), *arguments],
        env=engine.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert not check or done.returncode == 0, done.stdout
    return done.stdout


def write(folder: Path, **files: str) -> str:
    for name, text in files.items():
        (folder / name).write_text(text)
    return str(folder)


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """A web server over *folder* on the host's loopback; its URL, and what it was asked."""
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *given: object) -> None:
            super().__init__(*given, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, format: str, *given: object) -> None:
            asked.append(format % given)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_mounts_secrets_and_an_agent_in_real_containers(engine: EngineUnderTest, tmp_path: Path) -> None:
    dockerfile = (
        "FROM busybox\nWORKDIR /w\n"
        "RUN --mount=type=secret,id=tok wc -c < /run/secrets/tok; stat -c '%a' /run/secrets/tok\n"
        "RUN --mount=type=secret,id=tok,env=TOK sh -c 'echo len ${#TOK}'\n"
        "RUN --mount=type=cache,target=/c echo x >> /c/log; wc -l < /c/log\n"
        "RUN --mount=target=/src cat /src/hello; touch /src/x || echo read only\n"
        "RUN --mount=type=tmpfs,target=/t,size=64k mount | grep ' /t '\n"
        'RUN --mount=type=ssh test -S "$SSH_AUTH_SOCK" && echo ping | nc local:$SSH_AUTH_SOCK || echo no nc\n'
        "RUN find / -xdev -path /proc -prune -o -name tok -print\n"
    )
    context = write(tmp_path, Dockerfile=dockerfile, hello="hi\n")
    secret = tmp_path.with_name("token")
    secret.write_text("0123456789")
    agent = socket.socket(socket.AF_UNIX)
    path = engine.root / "agent"
    agent.bind(str(path))
    agent.listen()
    try:
        said = run(engine, "build", "--progress=plain", "--secret", f"id=tok,src={secret}", "--ssh", f"default={path}",
                   "-t", "one", context)  # fmt: skip
    finally:
        agent.close()
    for text in ("10", "400", "len 10", "hi", "read only", "size=64k"):
        assert text in said, said
    history = engine.docker("history", "--no-trunc", "one")
    assert "0123456789" not in said + history
    listing = engine.docker("run", "--rm", "one", "sh", "-c", "ls -d /run/* /c /src /t 2>/dev/null; true")
    assert listing == ""


def test_outputs_contexts_and_a_cache_that_travels(engine: EngineUnderTest, tmp_path: Path) -> None:
    context, other, out = tmp_path / "context", tmp_path / "other", tmp_path / "out"
    context.mkdir()
    other.mkdir()
    write(other, f="from the other\n")
    dockerfile = (
        "FROM busybox AS b\nRUN date +%s%N > /made\nFROM scratch\nCOPY --from=b /made /made\nCOPY --from=other f /\n"
    )
    write(context, Dockerfile=dockerfile)
    base = ["build", "--progress=plain", "--build-context", f"other={other}"]
    run(engine, *base, "-o", f"type=local,dest={out}", "--cache-to", f"type=local,dest={tmp_path / 'cache'},mode=max",
        str(context))  # fmt: skip
    made = (out / "made").read_text()
    assert (out / "f").read_text() == "from the other\n"
    assert sorted(os.listdir(out)) == ["f", "made"]
    # Everything is forgotten; the cache that was taken away knows it still.
    engine.docker("builder", "prune", "-af")
    run(engine, *base, "-o", f"type=tar,dest={tmp_path / 'out.tar'}", "--cache-from",
        f"type=local,src={tmp_path / 'cache'}", str(context))  # fmt: skip
    with tarfile.open(tmp_path / "out.tar") as archive:
        member = archive.extractfile("made")
        assert member is not None and member.read().decode() == made
    run(engine, *base, "-o", f"type=oci,dest={tmp_path / 'oci.tar'}", "--provenance=true", "-t", "x:1", str(context))
    with tarfile.open(tmp_path / "oci.tar") as archive:
        names = archive.getnames()
        index = json.load(archive.extractfile("index.json"))  # type: ignore[arg-type]
        for name in (name for name in names if name.startswith("blobs/sha256/")):
            data = archive.extractfile(name).read()  # type: ignore[union-attr]
            assert hashlib.sha256(data).hexdigest() == name.rpartition("/")[2]
    kinds = [entry.get("annotations", {}).get("vnd.docker.reference.type") for entry in index["manifests"]]
    assert kinds == [None, "attestation-manifest"]


def test_a_url_a_repository_and_remote_contexts(engine: EngineUnderTest, tmp_path: Path) -> None:
    web = tmp_path / "web"
    web.mkdir()
    write(web, file="over http\n", Dockerfile="FROM busybox\nRUN echo from a url > /made\n")
    work = tmp_path / "work"
    work.mkdir()
    write(work, Dockerfile="FROM scratch\nCOPY f /f\n", f="from git\n")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "m"]):
        subprocess.run([*git, *command], cwd=work, check=True)
    subprocess.run(["git", "clone", "-q", "--bare", str(work), str(web / "r.git")], check=True)
    subprocess.run(["git", "update-server-info"], cwd=web / "r.git", check=True)
    context = tmp_path / "context"
    context.mkdir()
    with serving(web) as (url, asked):
        text = (
            f"FROM busybox\nADD {url}/file /file\nADD {url}/r.git /r\nRUN cat /file /r/f; ls -a /r; stat -c %a /file\n"
        )
        write(context, Dockerfile=text)
        said = run(engine, "build", "--progress=plain", str(context))
        assert "over http" in said and "from git" in said
        assert "600" in said and ".git" not in said.partition("from git")[2]
        asked.clear()
        run(engine, "build", "--progress=plain", str(context))
        assert any('"GET /file HTTP/1.1" 304' in line for line in asked), asked
        run(engine, "build", "-t", "fromurl", f"{url}/Dockerfile")
        assert engine.docker("run", "--rm", "fromurl", "cat", "/made") == "from a url"
        run(engine, "build", "-t", "fromgit", f"{url}/r.git#main")
        assert engine.docker("image", "inspect", "fromgit", "-f", "{{len .RootFS.Layers}}") == "1"
        said = run(engine, "build", f"{url}/nothing.tar", check=False)
        assert "404" in said


def test_the_same_build_twice_differently_is_the_same_image(engine: EngineUnderTest, tmp_path: Path) -> None:
    ids: list[str] = []
    for name in ("one", "another"):
        context = tmp_path / name
        context.mkdir()
        write(
            context, Dockerfile="FROM busybox\nCOPY f /d/\nRUN echo x > /made; mkdir /e\nWORKDIR /w\nLABEL a=b\n", f="f"
        )
        os.utime(context / "f", (1_600_000_000 + len(ids), 1_600_000_000))
        run(engine, "build", "--reproducible", "--no-cache", "-t", name, str(context))
        ids.append(engine.docker("image", "inspect", name, "-f", "{{.Id}} {{.Created}}"))
    assert ids[0] == ids[1]
    assert ids[0].endswith("1970-01-01T00:00:00Z") or "1970-01-01" in ids[0]


def test_explaining_debugging_and_pruning(engine: EngineUnderTest, tmp_path: Path) -> None:
    text = "FROM busybox\nARG A=1\nRUN echo $A > /a\nCOPY f /f\n"
    context = write(tmp_path, Dockerfile=text, f="1")
    run(engine, "build", "--explain", "-t", "e", context)
    write(tmp_path, f="2")
    said = run(engine, "build", "--explain", "--progress=plain", "-t", "e", context)
    assert "file f changed" in said
    said = run(engine, "build", "--explain", "--progress=plain", "--build-arg", "A=2", "-t", "e", context)
    assert "variable A changed" in said
    write(tmp_path, Dockerfile="FROM busybox\nRUN echo before > /state\nRUN cat /state && exit 7\n")
    lines = run(engine, "build", "--progress=rawjson", context, check=False).splitlines()
    failed = next(event for line in lines if (event := json.loads(line))["event"] == "failed")
    assert failed["exit_code"] == 7
    assert engine.docker("run", "--rm", failed["debug"], "cat", "/state") == "before"
    cache = json.loads(engine.docker("system", "df", "-v", "--format", "{{json .}}"))["BuildCache"]
    assert any("echo before" in entry["Description"] for entry in cache)
    assert "Total" in engine.docker("builder", "prune", "-af")
    assert not json.loads(engine.docker("system", "df", "-v", "--format", "{{json .}}"))["BuildCache"]


def test_hostile_names_reach_no_option_of_git(engine: EngineUnderTest, tmp_path: Path) -> None:
    context = write(tmp_path, Dockerfile="FROM scratch\nADD https://127.0.0.1:1/x.git#--upload-pack=touch /\n")
    said = run(engine, "build", context, check=False)
    assert "git" in said and "touch" not in os.listdir(tmp_path)


def test_an_engine_killed_in_a_step_with_mounts_leaves_nothing_of_it(engine: EngineUnderTest, tmp_path: Path) -> None:
    text = (
        "FROM busybox\nRUN echo kept > /kept\n"
        "RUN --mount=type=cache,target=/c --mount=target=/src,rw --mount=type=secret,id=s "
        "echo x >> /c/log; touch /src/new; echo here; sleep 60\n"
    )
    context = write(tmp_path, Dockerfile=text)
    secret = tmp_path.with_name("secret")
    secret.write_text("s3cret-of-a-killed-build")
    command = [str(Path(sys.executable).with_name("labdock")), "build", "--progress=plain", "--secret"]
    building = subprocess.Popen(
        [*command, f"id=s,src={secret}", "-t", "half", context],
        env=engine.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert building.stdout is not None
        for line in building.stdout:
            if line.strip() == "here":
                break
        engine.kill("engine")
        building.communicate(timeout=30)
    finally:
        building.kill()
        building.communicate()
    assert building.returncode != 0
    wait_until(lambda: engine.docker("version", check=False), "the next engine answers")
    assert engine.docker("images", "-q", "half") == ""
    assert not list((engine.data / "builds").glob("work/*"))
    write(tmp_path, Dockerfile=text.replace("; sleep 60", "; wc -l < /c/log; ls /src; echo end"))
    said = run(engine, "build", "--progress=plain", "--secret", f"id=s,src={secret}", context)
    assert "cached" in said and "2\n" in said, said
    assert "s3cret" not in said


def test_pruning_by_age_and_what_is_kept(engine: EngineUnderTest, tmp_path: Path) -> None:
    context = write(tmp_path, Dockerfile="FROM busybox\nRUN --mount=type=cache,target=/c echo 1 > /c/f; echo 2 > /g\n")
    run(engine, "build", "-t", "kept", context)
    with contextlib.closing(engine.client()) as client:
        assert client.api.prune_builds(filters={"until": "1h"})["CachesDeleted"] in ([], None)
        gone = client.api.prune_builds()
        assert gone["CachesDeleted"] and gone["SpaceReclaimed"] > 0
        left = client.df()["BuildCache"]
        assert all(entry["Shared"] for entry in left) and left, "what the image has, too, stays"
        assert client.api.prune_builds(all=True)["CachesDeleted"]
        assert client.df()["BuildCache"] == []
        assert client.containers.run("kept", ["cat", "/g"], remove=True) == b"2\n"
