"""docker pull, push, login, search, import and df against the engine, with Debian's docker-registry behind it."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from . import registry
from .clients import Docker

BUILD = "FROM busybox\nRUN echo hello > /greeting\nCMD cat /greeting\n"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    with registry.serve(tmp_path) as found:
        yield found


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[str]:
    with registry.serve(tmp_path, registry.USERS) as found:
        yield found


@pytest.fixture
def login(docker: Docker, tmp_path: Path) -> Docker:
    """The command line with a config folder of its own, where a login is kept."""
    docker.environment["DOCKER_CONFIG"] = str(tmp_path / "docker")
    return docker


def digests(docker: Docker, name: str) -> list[str]:
    found: list[str] = json.loads(docker.ok("inspect", "--type", "image", "--format", "{{json .RepoDigests}}", name))
    return found


def test_push_and_pull_give_the_same_image(docker: Docker, host: str, http: httpx.Client) -> None:
    name = f"{host}/team/app:1"
    docker.ok("build", "-t", name, "-", stdin=BUILD)
    id_before = docker.ok("inspect", "--format", "{{.Id}}", name)
    said = docker.ok("push", name)
    assert said.startswith(f"The push refers to repository [{host}/team/app]\n") and said.count(": Pushed\n") == 2
    match = re.search(r"^1: digest: (sha256:[0-9a-f]{64}) size: [0-9]+$", said, re.MULTILINE)
    assert match is not None
    again = docker.ok("push", name)
    assert again.count(": Layer already exists\n") == 2 and match[1] in again
    assert digests(docker, name) == [f"{host}/team/app@{match[1]}"]

    docker.ok("rmi", name)
    said = docker.ok("pull", name)
    assert said.startswith("1: Pulling from team/app\n") and said.count(": Pull complete\n") >= 1
    assert said.endswith(f"Digest: {match[1]}\nStatus: Downloaded newer image for {name}\n{name}\n")
    assert docker.ok("inspect", "--format", "{{.Id}}", name) == id_before
    assert docker.ok("pull", name).splitlines()[-2] == f"Status: Image is up to date for {name}"
    assert docker.ok("pull", "-q", name) == f"{name}\n"
    assert docker.ok("run", "--rm", name) == "hello\n"
    shown = docker.ok("images", "--digests", "--format", "{{.Repository}} {{.Tag}} {{.Digest}}", f"{host}/team/app")
    assert shown == f"{host}/team/app 1 {match[1]}\n"

    # By digest, and pushed to a neighbour: nothing is sent that the registry has.
    docker.ok("rmi", name)
    pinned = f"{host}/team/app@{match[1]}"
    assert f"Status: Downloaded newer image for {pinned}" in docker.ok("pull", pinned)
    docker.ok("tag", pinned, f"{host}/other/app")
    said = docker.ok("push", f"{host}/other/app")
    assert said.count(": Mounted from team/app\n") == 2 and f"latest: digest: {match[1]}" in said
    found = http.get(f"/distribution/{name}/json").json()
    assert found["Descriptor"]["digest"] == match[1] and found["Platforms"][0]["os"] == "linux"
    assert len(http.get(f"/labdock/manifest?name={name}").json()["layers"]) == 2
    assert http.get(f"/distribution/{host}/team/none/json").status_code == 404


def test_all_tags_go_and_come(docker: Docker, host: str) -> None:
    for tag in ("1", "2", "3"):
        docker.ok("tag", "busybox", f"{host}/many:{tag}")
    docker.ok("push", "-a", f"{host}/many")
    docker.ok("rmi", *(f"{host}/many:{tag}" for tag in ("1", "2", "3")))
    docker.ok("pull", "-a", f"{host}/many")
    assert docker.ok("images", "--format", "{{.Tag}}", f"{host}/many").split() == ["1", "2", "3"]


def test_what_is_not_there_is_said_in_dockers_words(docker: Docker, host: str) -> None:
    done = docker("pull", f"{host}/team/none:1")
    assert done.code == 1
    assert done.err.startswith(
        f"Error response from daemon: manifest for {host}/team/none:1 not found: manifest unknown"
    )
    done = docker("push", f"{host}/team/none:1")
    assert done.code == 1 and "An image does not exist locally with the tag: " in done.err
    done = docker("run", "--rm", f"{host}/team/none:1")
    assert done.code == 125 and f"Unable to find image '{host}/team/none:1' locally" in done.err
    done = docker("pull", "127.0.0.1:1/x")
    assert done.code == 1 and "connection refused" in done.err.lower()
    done = docker("build", "-", stdin=f"FROM {host}/team/none:1\n")
    assert done.code == 1 and "manifest unknown" in done.out + done.err


def test_a_build_pulls_its_base(docker: Docker, host: str) -> None:
    name = f"{host}/base:1"
    docker.ok("tag", "busybox", name)
    docker.ok("push", name)
    docker.ok("rmi", name)
    docker.ok("build", "-t", "built", "-", stdin=f"FROM {name}\nCMD echo from base\n")
    assert docker.ok("run", "--rm", "built") == "from base\n"


def test_a_guarded_registry_wants_a_login(login: Docker, guarded: str) -> None:
    name = f"{guarded}/private:1"
    login.ok("tag", "busybox", name)
    done = login("push", name)
    assert done.code == 1 and ("unauthorized" in done.err or "no basic auth credentials" in done.err)
    done = login("login", guarded, "-u", "user", "--password-stdin", stdin="wrong")
    assert done.code == 1 and "unauthorized" in done.err.lower()
    said = login("login", guarded, "-u", "user", "--password-stdin", stdin="secret")
    assert said.code == 0 and "Login Succeeded" in said.out
    login.ok("push", name)
    login.ok("rmi", name)
    login.ok("pull", name)
    login.ok("rmi", name)
    login.ok("build", "-t", "built", "-", stdin=f"FROM {name}\n")
    login.ok("logout", guarded)
    login.ok("rmi", "-f", name, "built")
    done = login("pull", name)
    assert done.code == 1
    assert (
        f"pull access denied for {guarded}/private, repository does not exist or may require 'docker login'" in done.err
    )


def test_import_takes_a_tar_and_changes(docker: Docker) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        member = tarfile.TarInfo("etc/motd")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"hi\n"))
    said = docker.ok(
        "import", "-c", 'CMD ["/x"]', "-c", "ENV A=1", "-m", "brought along", "-", "mine:1", stdin=out.getvalue()
    )
    assert re.fullmatch(r"sha256:[0-9a-f]{64}\n", said)
    shown = json.loads(docker.ok("inspect", "mine:1"))[0]
    assert shown["Id"] == said.strip() and shown["Config"]["Cmd"] == ["/x"] and shown["Config"]["Env"] == ["A=1"]
    assert shown["Comment"] == "brought along" and shown["Os"] == "linux"
    assert "brought along" in docker.ok("history", "mine:1")
    docker.ok("create", "--name", "look", "mine:1")
    done = docker("import", "-c", "RUN x", "-", stdin=out.getvalue())
    assert done.code == 1 and "RUN is not a valid change command" in done.err
    assert docker("import", "-", "bad:1", stdin=b"no tar at all" * 100).code == 1
    assert docker("inspect", "bad:1").code == 1


def test_prune_follows_its_filters(docker: Docker) -> None:
    for number in ("1", "2"):
        docker.ok("build", "-t", "moving", "--label", f"n={number}", "-", stdin=f"FROM busybox\nENV N={number}\n")
    dangling = docker.ok("images", "-q", "--filter", "dangling=true").split()
    assert len(dangling) == 1
    assert docker.ok("image", "prune", "-f", "--filter", "label=n=2") == "Total reclaimed space: 0B\n"
    assert docker.ok("image", "prune", "-f", "--filter", "label!=n=1") == "Total reclaimed space: 0B\n"
    assert docker.ok("image", "prune", "-f", "--filter", "until=1h") == "Total reclaimed space: 0B\n"
    assert "Deleted" not in docker("image", "prune", "-f", "--filter", "nonsense=1").out
    said = docker.ok("image", "prune", "-f", "--filter", "label=n=1", "--filter", "until=2100-01-01T00:00:00Z")
    assert "deleted: sha256:" in said
    assert docker.ok("images", "-q", "--filter", "dangling=true") == ""
    assert docker.ok("images", "-q", "moving").split() != []


def test_df_tells_shared_from_unique(docker: Docker) -> None:
    docker.ok("build", "-t", "one", "-", stdin="FROM busybox\nRUN head -c 3000000 /dev/urandom > /data\n")
    shown = docker.ok("system", "df", "-v")
    row = next(line for line in shown.splitlines() if line.startswith("one "))
    shared, unique = re.findall(r"([0-9.]+)MB", row)[-2:]
    assert float(unique) == pytest.approx(3.0, abs=0.1) and float(shared) > 1
    table = docker.ok("system", "df", "--format", "{{json .}}")
    assert {json.loads(line)["Type"] for line in table.splitlines()} == {
        "Images", "Containers", "Local Volumes", "Build Cache",
    }  # fmt: skip
