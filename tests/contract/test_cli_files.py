# ruff: noqa: E501  (a table: one line, one expectation)
"""The docker CLI's cp, diff, export and commit against the engine, and labdock's own: all of their rules.

A line: what is typed after ``docker``, the exit code, what is searched for in stdout, and in stderr (None: it must be
empty). It runs in a folder with ``file``, ``src/a``, ``src/sub/b`` and the link ``src/l`` → ``a``.
"""

from __future__ import annotations

import io
import shlex
import sys
import tarfile
import time
from pathlib import Path

import pytest

from .clients import Docker, Engine, find_docker
from .test_cli import matches

Line = tuple[str, int, str | None, str | None]

# fmt: off
SCENARIOS: dict[str, list[Line]] = {
    "into a container": [
        ("create --name cc busybox sleep 60", 0, r".", None),
        ("cp src cc:/tmp/", 0, None, r""),
        ("cp src/. cc:/tmp/new", 0, None, r""),
        ("cp src cc:/tmp/renamed", 0, None, r""),
        ("cp file cc:/tmp/other", 0, None, r""),
        ("cp file cc:/tmp/src", 0, None, r""),
        ("cp file cc:relative", 0, None, r""),
        ("cp src/l cc:/tmp/link", 0, None, r""),
        ("cp -L src/l cc:/tmp/followed", 0, None, r""),
        ("start cc", 0, r".", None),
        ("exec cc cat /tmp/src/a /tmp/src/sub/b /tmp/src/file /tmp/new/a /tmp/renamed/sub/b /tmp/other /relative /tmp/followed", 0, r"^a\nb\nf\na\nb\nf\nf\na\n$", None),
        ("exec cc readlink /tmp/link", 0, r"^a\n$", None),
        ("cp src/. cc:/tmp/src/sub", 0, None, r""),
        ("exec cc ls /tmp/src/sub", 0, r"^a\nb\nl\nsub\n$", None),
    ],
    "what can't be copied into a container": [
        ("create --name cc busybox true", 0, r".", None),
        ("cp nope cc:/tmp", 1, None, r"no such file or directory"),
        ("cp file cc:/nope/x", 1, None, r"Could not find the file /nope in container cc|No such container:path: cc:/nope"),
        ("cp file cc:/nope/", 1, None, r"no such directory"),
        ("cp file cc:/etc/passwd/", 1, None, r"not a directory|no such directory"),
        ("cp src cc:/etc/passwd", 1, None, r"cannot copy directory"),
        ("cp - cc:/etc/passwd", 1, None, r'destination "cc:/etc/passwd" must be a directory'),
        ("cp file other:/tmp", 1, None, r"No such container(:path)?: other"),
        ("cp cc:/a cc:/b", 1, None, r"copying between containers is not supported"),
    ],
    "out of a container": [
        ("create --name cc busybox true", 0, r".", None),
        ("cp src cc:/s", 0, None, r""),
        ("cp cc:/s out", 0, None, r""),
        ("cp cc:/s out", 0, None, r""),
        ("cp cc:/s/. out/flat", 0, None, r""),
        ("cp cc:/s/a out/a2", 0, None, r""),
        ("cp cc:/s/l out/l2", 0, None, r""),
        ("cp -L cc:/s/l out/a3", 0, None, r""),
        ("cp cc:s/sub/b out", 0, None, r""),
        ("cp cc:/nope .", 1, None, r"Could not find the file /nope in container cc|No such container:path: cc:/nope"),
        ("cp cc:/s/a no/such/place", 1, None, r"invalid output path: directory .* does not exist|no such file or directory"),
        ("cp cc:/s file", 1, None, r"cannot copy directory"),
    ],
    "an image of what it changed": [
        ("run --name cc -e A=1 busybox sh -c 'echo mine > /mine'", 0, None, None),
        ("commit -m why -a me -c 'CMD [\"cat\", \"/mine\"]' -c 'ENV B=2' cc made:1", 0, r"^sha256:[0-9a-f]{64}\n$", None),
        ("run --rm made:1", 0, r"^mine\n$", None),
        ("inspect -f '{{.Author}} {{.Comment}} {{.Config.Env}}' made:1", 0, r"^me why \[A=1 PATH=.* B=2\]\n$", None),
        ("commit -c 'RUN x' cc", 1, None, r"(?i)run is not a valid change command"),
        ("commit cc UPPER", 1, None, r"must be lowercase"),
        ("commit --pause=false cc", 0, r"^sha256:", None),
    ],
    "what it changed": [
        ("run --name cc -v /vol busybox sh -c 'rm /bin/wget; echo x >>/etc/passwd; mkdir /d; touch /d/f /vol/v'", 0, None, None),
        ("diff cc", 0, r"^C /bin\nD /bin/wget\nA /d\nA /d/f\nC /etc\nC /etc/passwd\n$", None),
        ("create --name untouched busybox", 0, r".", None),
        ("diff untouched", 0, None, None),
    ],
}
# fmt: on


@pytest.fixture(params=[*find_docker(), str(Path(sys.executable).parent / "labdock")], ids=lambda path: path.strip("/"))
def docker(request: pytest.FixtureRequest, engine: Engine, clean: None) -> Docker:
    """Each docker CLI of the machine in turn, and labdock's own command, which says and does the same."""
    return Docker(request.param, engine)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src/sub").mkdir(parents=True)
    (tmp_path / "src/a").write_text("a\n")
    (tmp_path / "src/sub/b").write_text("b\n")
    (tmp_path / "src/l").symlink_to("a")
    (tmp_path / "file").write_text("f\n")
    return tmp_path


@pytest.mark.parametrize("title", SCENARIOS)
def test_scenario(title: str, docker: Docker, folder: Path) -> None:
    for line, code, out, err in SCENARIOS[title]:
        done = docker(*shlex.split(line), cwd=folder)
        assert done.code == code, f"docker {line} → {done.code}\n{done.out}\n{done.err}"
        assert matches(out, done.out), f"docker {line}\n{done.out}"
        assert matches(err, done.err), f"docker {line}\n{done.err}"
    if title == "out of a container":
        found = {str(path.relative_to(folder / "out")) for path in (folder / "out").rglob("*") if not path.is_dir()}
        inner = {"a", "l", "sub/b"}
        assert found == {*inner, *(f"s/{x}" for x in inner), *(f"flat/{x}" for x in inner), "a2", "l2", "a3", "b"}
        assert (folder / "out/l2").is_symlink() and not (folder / "out/a3").is_symlink()
        assert (folder / "out/a3").read_text() == "a\n"


def test_tars_go_in_by_stdin_and_out_by_stdout(docker: Docker, folder: Path) -> None:
    docker.ok("run", "-d", "--name", "cc", "busybox", "sleep", "60")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        tar.add(folder / "src", "src")
    docker.ok("cp", "-", "cc:/home", stdin=out.getvalue())
    assert docker.ok("exec", "cc", "cat", "/home/src/l") == "a\n"
    data = docker.ok("cp", "cc:/home/src", "-").encode("latin-1", "replace")
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert tar.getnames() == ["src", "src/a", "src/l", "src/sub", "src/sub/b"]


def test_archive_mode_and_owners(docker: Docker, folder: Path) -> None:
    docker.ok("run", "-d", "--name", "cc", "-u", "7:8", "busybox", "sleep", "60")
    docker.ok("cp", "-a", "file", "cc:/own")
    assert docker.ok("exec", "cc", "stat", "-c", "%u:%g", "/own") == "7:8\n"


def test_an_export_goes_to_a_file_and_can_be_imported(docker: Docker, folder: Path) -> None:
    docker.ok("run", "--name", "cc", "busybox", "sh", "-c", "echo mine > /mine")
    docker.ok("export", "-o", str(folder / "x.tar"), "cc")
    docker.ok("import", str(folder / "x.tar"), "mine:1")
    assert docker.ok("run", "--rm", "mine:1", "cat", "/mine") == "mine\n"


def test_copies_are_events(docker: Docker, folder: Path) -> None:
    container = docker.ok("create", "busybox").strip()
    docker.ok("cp", "file", f"{container}:/x")
    docker.ok("cp", f"{container}:/x", "y")
    docker.ok("export", "-o", str(folder / "x.tar"), container)
    wanted = ("events", "--since", "1h", "--until", str(int(time.time()) + 1), "--filter", f"container={container}")
    seen = docker.ok(*wanted, "--format", "{{.Action}}")
    assert seen.split() == ["create", "extract-to-dir", "archive-path", "export"]
