"""``--platform`` for images that are here, the tree of images, and what ``--use-api-socket`` gives."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from labdock.client import Client
from labdock.client.scripted import Reply, Script, ScriptedTransport
from labdock.commands import run
from labdock.errors import InvalidRequest, NotFound
from labdock.notebook.face import NotebookFace

IMAGE = "sha256:" + "ab" * 32
ID = "cd" * 32
WIRE = {"Id": IMAGE, "Os": "linux", "Architecture": "arm64", "Variant": "v8", "Size": 1, "RepoTags": ["app:1", "app:2"]}


@pytest.fixture
def script() -> Script:
    return (
        Script()
        .on("GET", "/images/json", Reply(json=[WIRE]))
        .on("GET", "/images/[^/]+/json", Reply(json=WIRE))
        .on("GET", "/images/[^/]+/history", Reply(json=[]))
        .on("GET", "/images/get", Reply(body=b"tar"))
        .on("DELETE", "/images/.*", Reply(json=[{"Untagged": "app:1"}]))
        .on("POST", "/images/load", Reply(lines=[b'{"stream":"Loaded image: app:1\\n"}\n']))
        .on("GET", "/containers/json", Reply(json=[{"Id": ID, "Names": ["/c"], "ImageID": IMAGE}]))
        .on("POST", "/containers/create", Reply(201, {"Id": ID}))
        .on("GET", "/containers/[^/]+/json", Reply(json={"Id": ID, "Name": "/c"}))
        .on("PUT", "/containers/[^/]+/archive", Reply())
    )


def ask(script: Script, *words: str, environment: dict[str, str] | None = None) -> str:
    return str(run(words, NotebookFace(client=Client(ScriptedTransport(script), environment))))


@pytest.mark.parametrize("words", ["history", "image inspect", "rmi", "save -o {file}"])
@pytest.mark.parametrize("platform", ["linux/arm64", "linux/aarch64/v8", "linux", "LINUX/ARM64"])
def test_the_platform_that_it_is(script: Script, tmp_path: Path, words: str, platform: str) -> None:
    ask(script, *words.format(file=tmp_path / "out").split(), "--platform", platform, "app:1")


@pytest.mark.parametrize("words", ["history", "image inspect", "save -o {file}"])
@pytest.mark.parametrize("platform", ["linux/amd64", "windows", "linux/arm64/v7"])
def test_another_platform_is_not_found_in_dockers_words(
    script: Script, tmp_path: Path, words: str, platform: str
) -> None:
    with pytest.raises(NotFound, match=r"app:1 was found but does not provide the specified platform \(" + platform):
        ask(script, *words.format(file=tmp_path / "out").split(), "--platform", platform, "app:1")
    assert not (tmp_path / "out").exists()


def test_an_image_of_another_platform_is_not_removed(script: Script) -> None:
    with pytest.raises(Exception, match="does not provide the specified platform"):
        ask(script, "rmi", "--platform", "linux/amd64", "app:1")
    assert not [asked for asked in script.asked if asked.method == "DELETE"]


def test_load_says_which_platform_it_wants(script: Script, tmp_path: Path) -> None:
    (tmp_path / "in.tar").write_bytes(b"tar")
    ask(script, "load", "-i", str(tmp_path / "in.tar"), "--platform", "linux/arm64/v8")
    wanted = json.loads(script.asked[-1].query["platform"][0])
    assert wanted == {"os": "linux", "architecture": "arm64", "variant": "v8"}


@pytest.mark.parametrize("text", ["a/b/c/d", "linux/", "linux/a b"])
def test_platforms_that_are_none(script: Script, text: str) -> None:
    with pytest.raises(InvalidRequest, match="invalid platform"):
        ask(script, "history", "--platform", text, "app:1")


def test_images_as_a_tree(script: Script) -> None:
    assert ask(script, "images", "--tree").splitlines() == [
        "IMAGE               ID             DISK USAGE   IN USE",
        "app:1               abababababab   1B           ✔",
        "├─ app:2                                        ",
        "└─ linux/arm64/v8   abababababab   1B           ✔",
    ]
    with pytest.raises(InvalidRequest, match="--quiet is not yet supported with --tree"):
        ask(script, "images", "--tree", "-q")


def test_the_api_socket_and_the_credentials_go_into_the_container(script: Script, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"auths": {"r.example": {"auth": "bWU6c2VjcmV0"}}}')
    ask(script, "create", "--use-api-socket", "app:1", environment={"DOCKER_CONFIG": str(tmp_path)})
    created = next(asked for asked in script.asked if asked.path == "/containers/create").json
    assert created["Env"] == ["DOCKER_CONFIG=/run/secrets/docker"]
    assert created["HostConfig"]["Binds"] == ["/var/run/docker.sock:/var/run/docker.sock"]
    sent = next(asked for asked in script.asked if asked.method == "PUT")
    with tarfile.open(fileobj=io.BytesIO(sent.body)) as tar:
        member = tar.getmember("run/secrets/docker/config.json")
        source = tar.extractfile(member)
        assert source is not None and member.mode == 0o600
        assert json.loads(source.read()) == {"auths": {"r.example": {"auth": "bWU6c2VjcmV0"}}}
