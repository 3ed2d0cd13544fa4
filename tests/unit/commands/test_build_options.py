"""What ``build``'s options mean, and what is refused with which words."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from labdock.client import Client
from labdock.client.scripted import Asked, Reply, Script, ScriptedTransport
from labdock.commands import run
from labdock.commands.build_inputs import Delivery, read_agent, read_caches, read_contexts, read_secret
from labdock.commands.build_outputs import read_deliveries
from labdock.commands.results import Result
from labdock.errors import InvalidRequest, LabdockError
from labdock.notebook.face import NotebookFace
from labdock.notebook.live import LiveOutput
from labdock.schema import build
from tests.unit.client.test_builds import read_parts
from tests.unit.client.test_exports import tar

IMAGE = "sha256:" + "ab" * 32
START = build.StepStarted(step=1, total=1, text="FROM busybox", line=1)
DONE = build.BuildDone(image=IMAGE, names=("app:latest",))


class Session:
    """A scripted engine and what was said to the user."""

    def __init__(self, *events: build.AnyBuildEvent) -> None:
        lines = [msgspec.json.encode(event) + b"\n" for event in events]
        self.script = (
            Script()
            .on("POST", "(/labdock)?/build", Reply(lines=lines))
            .on("GET", "/images/.*/json", Reply(json={"Id": IMAGE, "Size": 1}))
        )
        self.shown: list[str] = []

    def run(self, *words: str, body: str | None = None) -> Result | None:
        def live(picture: Any) -> LiveOutput:
            return LiveOutput(picture, show=self._show)

        return run(words, NotebookFace(body, client=Client(ScriptedTransport(self.script)), live=live))

    def _show(self, picture: Any) -> Callable[[Any], None]:
        self._update(picture)
        return self._update

    def _update(self, picture: Any) -> None:
        self.shown.append(picture._text())

    @property
    def asked(self) -> Asked:
        return next(asked for asked in self.script.asked if asked.path.endswith("/build"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A context, the current folder."""
    monkeypatch.setenv("LABDOCK_RUN", str(tmp_path))
    found = tmp_path / "ctx"
    found.mkdir()
    (found / "Dockerfile").write_text("FROM busybox\n")
    monkeypatch.chdir(found)
    return found


def test_secret_from_file_and_from_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a,b"
    path.write_bytes(b"\0bytes\n")
    monkeypatch.setenv("TOKEN", "t")
    assert read_secret(f'id=x,"src={path}"') == ("x", b"\0bytes\n")
    assert read_secret(f'"source={path}",type=file') == ("a,b", b"\0bytes\n")
    assert read_secret("id=x,env=TOKEN") == ("x", b"t")
    assert read_secret("type=env,id=TOKEN") == ("TOKEN", b"t")
    assert read_secret("id=TOKEN") == ("TOKEN", b"t")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id=x,src=/nowhere/at/all", "secret x: /nowhere/at/all: No such file"),
        ("id=x,env=NOT_THERE_AT_ALL", "no environment variable NOT_THERE_AT_ALL"),
        ("id=x,colour=red", "unexpected key 'colour'"),
        ("token", "expected name=value"),
        ("type=vault,id=x", "unsupported secret type 'vault'"),
    ],
)
def test_secret_that_can_not_be(text: str, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        read_secret(text)


def test_secret_too_large(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes((500 << 10) + 1))
    with pytest.raises(InvalidRequest, match="at most 512000"):
        read_secret(f"id=x,src={tmp_path}/big")


def test_agents_are_sockets_never_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind("agent")
        assert read_agent("work=agent") == ("work", str(tmp_path / "agent"))
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        assert read_agent("default") == ("default", str(tmp_path / "agent"))
    (tmp_path / "id_ed25519").write_text("key")
    with pytest.raises(InvalidRequest, match="not an agent's socket"):
        read_agent("default=id_ed25519")
    monkeypatch.delenv("SSH_AUTH_SOCK")
    with pytest.raises(InvalidRequest, match="no ssh agent is known"):
        read_agent("default")


def test_named_contexts(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/kept").write_text("1")
    (tmp_path / "lib/left").write_text("1")
    (tmp_path / "lib/.dockerignore").write_text("left\n")
    found, parts = read_contexts(
        ["base=docker-image://busybox:1", f"lib={tmp_path}/lib", "repo=https://example.invalid/x.git#main"], force=False
    )
    assert found == {
        "base": "docker-image://busybox:1",
        "lib": "part",
        "repo": "https://example.invalid/x.git#main",
    }
    assert [(part.kind, part.name) for part in parts] == [("context", "lib")]
    sent = b"".join(parts[0].data)
    assert b"kept" in sent
    assert b"left\0" not in sent
    with pytest.raises(InvalidRequest, match="expected key=value"):
        read_contexts(["lib"], force=False)
    with pytest.raises(InvalidRequest, match="is no folder"):
        read_contexts([f"lib={tmp_path}/nothing"], force=False)


def test_an_oci_layout_is_cut_to_the_image_asked_for(tmp_path: Path) -> None:
    name = "org.opencontainers.image.ref.name"
    manifests = [{"digest": f"sha256:{n}", "annotations": {name: f"v{n}"}} for n in (1, 2)]
    (tmp_path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": manifests}))
    for reference in (":v2", "@sha256:2"):
        found, parts = read_contexts([f"base=oci-layout://{tmp_path}{reference}"], force=False)
        assert found == {"base": "oci-layout"}
        assert b"sha256:2" in b"".join(parts[0].data)
        assert b"sha256:1" not in b"".join(parts[0].data)
    with pytest.raises(InvalidRequest, match="which image is meant"):
        read_contexts([f"base=oci-layout://{tmp_path}"], force=False)
    with pytest.raises(InvalidRequest, match="has no image 'v9'"):
        read_contexts([f"base=oci-layout://{tmp_path}:v9"], force=False)


def test_cache_sources(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text("{}")
    images, parts = read_caches(
        ["app:old", "type=registry,ref=app:older", f"type=local,src={tmp_path}", "type=local,src=/no"]
    )
    assert images == ("app:old", "app:older")
    assert [(part.kind, part.name) for part in parts] == [("cache", "cache-0")]
    with pytest.raises(InvalidRequest, match="type 's3' is not known"):
        read_caches(["type=s3,bucket=x"])


def test_outputs() -> None:
    found = read_deliveries(["out", "-", "type=tar,dest=x.tar", "type=oci,dest=o,tar=false", "type=image,name=x"], [])
    assert found == (
        Delivery("local", Path("out"), unpacked=True),
        Delivery("tar", None),
        Delivery("tar", Path("x.tar")),
        Delivery("oci", Path("o"), unpacked=True),
    )
    assert read_deliveries([], ["type=local,dest=c,mode=max"]) == (Delivery("cache", Path("c"), True, "max"),)


@pytest.mark.parametrize(
    ("outputs", "caches", "words"),
    [
        (["type=docker"], [], "does not write type 'docker'"),
        (["type=local"], [], "dest=FOLDER is required"),
        (["-", "type=tar"], [], "only one --output"),
        (["type=local,dest=x,size=2"], [], "unexpected key 'size'"),
        ([], ["type=gha"], "type 'gha' is not known"),
        ([], ["type=local"], "dest=FOLDER is required"),
        ([], ["type=local,dest=x,mode=most"], "mode is min or max"),
    ],
)
def test_outputs_that_can_not_be(outputs: list[str], caches: list[str], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        read_deliveries(outputs, caches)


def test_a_secret_reaches_the_body_and_nothing_else(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "s3cr3t")
    session = Session(START, DONE)
    session.run("build", "--secret", "id=token,env=TOKEN", ".")
    assert read_parts(session.asked.body)[0] == ("secret", "token", b"s3cr3t")
    assert "s3cr3t" not in repr(session.asked.query)


def test_an_export_is_unpacked_where_it_was_asked_for(folder: Path) -> None:
    session = Session(START, build.BuildExported(number=0, kind="local", token="t0"), DONE)
    session.script.on("GET", "/labdock/build/exports/t0", Reply(lines=list(tar(("bin/app", "file", "made")))))
    session.run("build", "-o", "out", ".")
    assert (folder / "out/bin/app").read_text() == "made"
    assert session.asked.query["outputs"] == ['[{"type":"local"}]']


def test_outputs_alone_leave_no_image(folder: Path) -> None:
    session = Session(START, build.BuildExported(number=0, kind="local", token="t0"), build.BuildDone(image=""))
    session.script.on("GET", "/labdock/build/exports/t0", Reply(lines=list(tar(("x", "file", "made")))))
    assert str(session.run("build", "-o", "out", ".")) == "out"
    assert session.shown[-1].splitlines()[-1] == "Built the outputs: 1 steps"


def test_check_reports_and_marks(folder: Path) -> None:
    (folder / "Dockerfile").write_text("FROM busybox AS Foo\n")
    warning = build.BuildNotice(
        text="Stage name 'Foo' should be lowercase",
        line=1,
        end_line=1,
        column=16,
        end_column=19,
        check="StageNameCasing",
    )
    session = Session(warning)
    found = session.run("build", "--check", ".")
    assert str(found) == "Check complete, 1 warning has been found!"
    assert found is not None
    assert found.exit_code == 1
    assert session.asked.query["check"] == ["1"]
    assert session.shown[-1].splitlines()[:3] == [
        "warning: StageNameCasing: Stage name 'Foo' should be lowercase (line 1)",
        "  1 | FROM busybox AS Foo",
        "    |                 ^^^",
    ]
    found = Session().run("build", "--check", ".")
    assert (str(found), found and found.exit_code) == ("Check complete, no warnings found.", 0)


def test_explain_tells_why(folder: Path) -> None:
    why = build.StepExplained(step=1, reasons=("the file src/a.py changed",))
    session = Session(START, why, DONE)
    session.run("build", "--explain", ".")
    assert session.asked.query["explain"] == ["1"]
    assert "    not cached: the file src/a.py changed" in session.shown[-1].splitlines()


def test_a_failed_step_is_remembered_for_debug(folder: Path) -> None:
    failed = build.BuildFailed(message="it failed", step=1, exit_code=3, debug="sha256:" + "cd" * 32)
    session = Session(START, failed)
    with pytest.raises(LabdockError) as caught:
        session.run("build", ".")
    assert "%%container debug" in str(caught.value.hint)
    images = []

    def create(asked: Asked) -> Reply:
        images.append(asked.json)
        return Reply(404, {"message": f"No such image: {asked.json['Image']}"})

    session.script.on("POST", "/containers/create", create).on(
        "POST", "/images/create", Reply(404, {"message": "none"})
    )
    with pytest.raises(LabdockError) as caught:
        session.run("debug", body="ls /\n")
    assert (images[0]["Image"], images[0]["Entrypoint"]) == ("sha256:" + "cd" * 32, ["/bin/sh"])
    with pytest.raises(LabdockError):
        session.run("debug", "--image", "other", "ls", "-l")
    assert (images[-1]["Image"], images[-1]["Entrypoint"], images[-1]["Cmd"]) == ("other", ["ls"], ["-l"])


def test_debug_without_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABDOCK_RUN", str(tmp_path))
    with pytest.raises(InvalidRequest, match="no build of yours has failed"):
        Session().run("debug", "ls")


def test_raw_progress_is_the_events_themselves(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session = Session(START, DONE)
    session.run("build", "--progress=rawjson", ".")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["started", "built"]


def test_a_url_is_the_engines_to_fetch(folder: Path) -> None:
    session = Session(START, DONE)
    session.run("build", "https://example.invalid/app.git#main")
    assert (session.asked.query["remote"], session.asked.body) == (["https://example.invalid/app.git#main"], b"")


def test_builder_prune() -> None:
    session = Session()
    session.script.on("POST", "/build/prune", Reply(json={"CachesDeleted": ["abc"], "SpaceReclaimed": 2_000_000}))
    found = str(session.run("builder", "prune", "--all", "--keep-storage", "1.5GB", "--filter", "until=24h"))
    assert found == "Deleted build cache objects:\nabc\n\nTotal reclaimed space: 2MB"
    asked = session.script.asked[-1]
    assert (asked.query["keep-storage"], asked.query["all"]) == (["1500000000"], ["1"])


def test_hosts_and_shared_memory_reach_the_builder(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\n")
    session = Session(START, DONE)
    session.run("build", "--add-host", "db=10.0.0.1", "--add-host", "six:[fd00::1]", "--shm-size", "8m", str(tmp_path))
    assert session.asked.query["extrahosts"] == ["db:10.0.0.1", "six:fd00::1"]
    assert session.asked.query["shmsize"] == [str(8 << 20)]


def test_what_no_step_is_limited_by_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\n")
    Session(START, DONE).run("build", "-m", "64m", "--ulimit", "nofile=9", "--compress", str(tmp_path))
    assert [line.split(": ")[1] for line in capsys.readouterr().err.splitlines()] == [
        "--memory is discarded",
        "--ulimit is discarded",
    ]
