"""``manifest`` by labdock and by docker's own command line: one store of lists, the same words, the same digests.

The lists go to Debian's docker-registry and to the registry that the engine itself serves, and come back from there.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.command_line import KEPT

from . import registry
from .clients import PATIENCE, Docker, Done

ARM = "FROM scratch\nLABEL built=arm\nCOPY hello /\n"


@pytest.fixture(params=["theirs", "ours"])
def host(request: pytest.FixtureRequest, tmp_path: Path, http: httpx.Client) -> Iterator[str]:
    """A registry: Debian's, and the engine's own."""
    if request.param == "theirs":
        with registry.serve(tmp_path) as found:
            yield found
        return
    served = http.post("/labdock/registry", json={"Address": "127.0.0.1", "Port": 0}).json()
    yield f"127.0.0.1:{served['Port']}"
    assert http.delete("/labdock/registry").status_code == 204


class Both:
    """docker and labdock with one folder for their configuration."""

    def __init__(self, docker: Docker, folder: Path) -> None:
        self.docker = docker
        docker.environment["DOCKER_CONFIG"] = str(folder)
        said = docker.ok("--version")
        #: Whether this docker's words and lists are those that are followed here.
        self.is_kept = f"version {KEPT}." in said

    def labdock(self, *words: str) -> Done:
        command = [sys.executable, "-c", "from labdock.cli import main; main()", *words]
        done = subprocess.run(command, env=self.docker.environment, capture_output=True, text=True, timeout=PATIENCE)
        return Done(done.returncode, done.stdout, done.stderr)

    def ok(self, *words: str) -> str:
        done = self.labdock(*words)
        assert done.code == 0, f"labdock {' '.join(words)} → {done}"
        return done.out

    def same(self, *words: str) -> str:
        """What both print."""
        done = self.labdock(*words)
        if self.is_kept:
            theirs = self.docker(*words)
            assert (done.code, done.out) == (theirs.code, theirs.out), f"labdock {words}: {done}\ndocker: {theirs}"
            assert done.err.removeprefix("Error: ").partition("\n\nhint")[0].strip() == theirs.err.strip()
        return done.out if done.code == 0 else done.err


@pytest.fixture
def both(docker: Docker, tmp_path: Path) -> Both:
    return Both(docker, tmp_path / "config")


def push_two(both: Both, host: str, folder: Path) -> tuple[str, str]:
    """An image for this machine and one for arm64, in repositories of their own."""
    (folder / "hello").write_text("hello from arm")
    (folder / "Dockerfile").write_text(ARM)
    here, arm = f"{host}/team/app:here", f"{host}/team/arm:1"
    both.docker.ok("build", "-q", "--platform", "linux/arm64/v8", "-t", arm, str(folder))
    both.docker.ok("tag", "busybox", here)
    for name in (here, arm):
        both.docker.ok("push", "-q", name)
    both.docker.ok("rmi", here, arm)
    return here, arm


def test_a_list_is_made_annotated_pushed_and_pulled_by_platform(both: Both, host: str, tmp_path: Path) -> None:
    (folder := tmp_path / "context").mkdir()
    here, arm = push_two(both, host, folder)
    name = f"{host}/team/app:1"
    assert both.ok("manifest", "create", name, here, arm) == f"Created manifest list {name}\n"
    shown = json.loads(both.same("manifest", "inspect", name))
    assert [line["platform"]["architecture"] for line in shown["manifests"]] == ["amd64", "arm64"]
    both.same("manifest", "inspect", name, arm)
    both.same("manifest", "inspect", "-v", name, arm)
    both.same("manifest", "inspect", "-v", name)

    both.ok("manifest", "annotate", "--variant", "v8", "--os-features", "x,y", "--os-version", "6", name, arm)
    shown = json.loads(both.same("manifest", "inspect", name))
    extra = {"os.version": "6", "os.features": ["x", "y"]}
    assert shown["manifests"][1]["platform"] == {"architecture": "arm64", "os": "linux", "variant": "v8", **extra}

    done = both.labdock("manifest", "push", name)
    digest = done.out.strip()
    arms = shown["manifests"][1]["digest"]
    assert (done.code, done.err) == (0, f"Pushed ref {host}/team/app@{arms} with digest: {arms}\n")
    if both.is_kept:
        assert both.docker.ok("manifest", "push", "--insecure", name).endswith(f"\n{digest}\n")
    assert both.ok("manifest", "push", "--purge", name) == f"{digest}\n"

    # From the registry now: nothing of it is kept here.
    assert not list((tmp_path / "config" / "manifests").iterdir())
    assert json.loads(both.ok("manifest", "inspect", name))["manifests"] == shown["manifests"]
    if both.is_kept:
        assert json.loads(both.docker.ok("manifest", "inspect", "--insecure", name))["manifests"] == shown["manifests"]
    assert [each["Ref"] for each in json.loads(both.ok("manifest", "inspect", "-v", name))] == [
        f"{host}/team/app@{line['digest']}" for line in shown["manifests"]
    ]
    for platform, architecture in (("linux/arm64", "arm64"), ("linux/amd64", "amd64")):
        both.docker.ok("pull", "-q", "--platform", platform, name)
        assert both.docker.ok("inspect", "--format", "{{.Architecture}}", name) == f"{architecture}\n"
        assert both.docker.ok("inspect", "--format", "{{json .RepoDigests}}", name) == f'["{host}/team/app@{digest}"]\n'


def test_docker_and_labdock_go_on_with_each_others_lists(both: Both, tmp_path: Path) -> None:
    (folder := tmp_path / "context").mkdir()
    with registry.serve(tmp_path) as host:
        here, arm = push_two(both, host, folder)
        name = f"{host}/team/app:1"
        if both.is_kept:
            both.docker.ok("manifest", "create", "--insecure", name, here)
        else:
            both.ok("manifest", "create", name, here)
        assert both.same("manifest", "create", name, arm) and both.labdock("manifest", "create", name, arm).code == 1
        both.ok("manifest", "create", "--amend", name, arm)
        both.same("manifest", "inspect", name)
        # Nothing is there when one of them is not to be had.
        done = both.labdock("manifest", "create", f"{host}/team/app:2", here, f"{host}/team/none:1")
        assert done.code == 1 and "manifest unknown" in done.err
        both.same("manifest", "inspect", f"{host}/team/app:2", here)
        both.same("manifest", "push", f"{host}/team/app:2")
        both.same("manifest", "rm", f"{host}/team/app:2", f"{host}/team/app:3")
        for line, said in (
            (f"create {name}", "'labdock manifest create' requires at least 1 argument"),
            (f"annotate --os nope {name} {arm}", "has unsupported os/arch combination: nope/arm64"),
            (f"annotate --arch sparc {name} {arm}", "has unsupported os/arch combination: linux/sparc"),
            ("create Bad/Name x", "invalid reference format"),
            ("create a/b:c:d x", "invalid reference format"),
            ("create ../../x y", "invalid reference format"),
            (f"create {host}/x {name}", "manifest unknown"),
            (f"push {name} more", "'labdock manifest push' does not take 'more'"),
        ):
            done = both.labdock("manifest", *line.split())
            assert done.code in (1, 125) and said in done.err, f"{line}: {done}"
        stored = next((tmp_path / "config" / "manifests").iterdir()) / here.replace(":", "-").replace("/", "_")
        stored.write_bytes(stored.read_bytes().replace(b'"Raw":"', b'"Raw":"e30='))
        done = both.labdock("manifest", "push", name)
        assert done.code == 1 and "is no manifest of a list" in done.err
        assert both.ok("manifest", "rm", name) == ""
