"""Credentials: ``config.json`` in all its shapes, helpers that answer, fail, hang and lie, and nothing shown."""

from __future__ import annotations

import base64
import json
import os
import stat
import time
from pathlib import Path

import pytest

from labdock.client import credentials, keyring
from labdock.client.credentials import Auth, Config
from labdock.client.keyring import HelperFailed, Keyring
from labdock.errors import InvalidRequest, LabdockError, SystemFailure

SECRET = "s3cr3t"
HUB = "https://index.docker.io/v1/"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ({"auth": encoded("me:a:b")}, Auth("me", "a:b", "r")),
        ({"auth": encoded("me:pw\0\0")}, Auth("me", "pw", "r")),
        ({"auth": encoded("me")}, Auth("me", "", "r")),
        ({"auth": "%%% no base64"}, Auth(server="r")),
        ({"auth": base64.b64encode(b"\xff:\xff").decode()}, Auth(server="r")),
        ({"username": "me", "password": "pw"}, Auth("me", "pw", "r")),
        ({"auth": encoded("me:"), "identitytoken": "t"}, Auth("me", "", "r", "t")),
        ({"registrytoken": "t", "email": "x"}, Auth("", "", "r", "", "t")),
        ({}, Auth(server="r")),
        ({"auth": 7}, Auth()),
        ("text", Auth()),
        (None, Auth()),
    ],
)
def test_entries(entry: object, found: Auth) -> None:
    assert Config.parse(json.dumps({"auths": {"r": entry}}).encode()).find("r") == found


@pytest.mark.parametrize(
    ("stored", "asked"),
    [("https://r.example/v1/", "r.example"), ("http://r.example", "r.example"), ("r.example", "https://r.example/v2/")],
)
def test_an_entry_is_found_by_its_host(stored: str, asked: str) -> None:
    assert Config({"auths": {stored: {"auth": encoded("me:pw")}}}).find(asked).username == "me"


def test_another_port_is_another_registry() -> None:
    assert not Config({"auths": {"r.example:5000": {"auth": encoded("me:pw")}}}).find("r.example")


@pytest.mark.parametrize("data", [b"[", b"[]", b'"x"', b"\xff\xfe", b'{"auths": "s3cr3t"'])
def test_what_is_no_config_is_refused_without_its_words(data: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Config.parse(data)
    assert SECRET not in str(caught.value)
    assert caught.value.__context__ is None or SECRET not in str(caught.value.__context__)


@pytest.mark.parametrize("data", [b"", b" \n", b"{}", b'{"auths": 3, "credsStore": 4, "credHelpers": []}'])
def test_what_says_nothing_has_nothing(data: bytes) -> None:
    config = Config.parse(data)
    assert (config.servers, config.store, config.helper("r")) == ((), "", "")


def test_what_is_written_is_read_again_and_the_rest_stays() -> None:
    config = Config({"psFormat": "x", "auths": {"a": {"auth": encoded("a:b")}}, "credHelpers": {"h": "toy"}})
    auth = Auth("me", "p:w", "r", "token")
    again = Config.parse(config.with_auth("r", auth).dump())
    assert again.find("r") == auth
    assert again.find("a").username == "a"
    assert b'\t"psFormat": "x"' in again.dump()
    assert again.without("r").without("a").servers == ("h",)


def test_nothing_shows_a_secret() -> None:
    for auth in (Auth("me", SECRET, "r"), Auth("me", "", "r", SECRET), Auth("", "", "r", "", SECRET)):
        assert SECRET not in f"{auth!r} {auth}"
        assert "me" in repr(auth) or not auth.username


def test_headers_are_url_safe_and_padded() -> None:
    auth = Auth("ÿÿÿ>>>???", "~~~", "r")
    text = credentials.header(auth)
    assert set("+/").isdisjoint(text)
    assert json.loads(base64.urlsafe_b64decode(text)) == {
        "username": "ÿÿÿ>>>???",
        "password": "~~~",
        "serveraddress": "r",
    }


HELPER = """#!/bin/sh
cat > "$HERE/given"
case "$1" in
    get) {get} ;;
    *) {other} ;;
esac
"""


def ring(folder: Path, document: object, get: str = "exit 9", other: str = "exit 9") -> Keyring:
    (folder / "config.json").write_text(json.dumps(document))
    program = folder / "docker-credential-toy"
    program.write_text(HELPER.format(get=get, other=other))
    program.chmod(0o755)
    return Keyring({"DOCKER_CONFIG": str(folder), "PATH": f"{folder}:{os.environ['PATH']}", "HERE": str(folder)})


def test_a_helper_is_asked_by_stdin(tmp_path: Path) -> None:
    found = ring(tmp_path, {"credsStore": "toy"}, """echo '{"ServerURL":"r","Username":"me","Secret":"pw"}'""")
    assert found.find(HUB) == Auth("me", "pw", HUB)
    assert (tmp_path / "given").read_text() == HUB


def test_a_helpers_token(tmp_path: Path) -> None:
    found = ring(tmp_path, {"credHelpers": {"r": "toy"}}, """echo '{"Username":"<token>","Secret":"t"}'""")
    assert found.find("r") == Auth("", "", "r", "t")
    assert found.find("other") == Auth()
    assert found.all() == {"r": Auth("", "", "r", "t")}


def test_a_helper_that_knows_nothing(tmp_path: Path) -> None:
    found = ring(tmp_path, {"credsStore": "toy"}, "echo credentials not found in native keychain; exit 1")
    assert found.find("r") == Auth()


@pytest.mark.parametrize(
    ("get", "words"),
    [
        (f"echo {SECRET}; echo locked >&2; exit 1", "docker-credential-toy get ended with 1: locked"),
        (f"echo {SECRET}", "its answer is not what the protocol asks for"),
        (f'echo \'{{"Secret": ["{SECRET}"]}}\'', "its answer is not what the protocol asks for"),
    ],
)
def test_a_helper_that_fails_says_so_and_nothing_else(tmp_path: Path, get: str, words: str) -> None:
    with pytest.raises(HelperFailed) as caught:
        ring(tmp_path, {"credsStore": "toy"}, get).find("r")
    assert words in caught.value.message
    chain = f"{caught.value.explain()} {caught.value.__cause__} {caught.value.__context__}"
    assert SECRET not in chain


def test_a_helper_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "PATIENCE", 0.2)
    begun = time.monotonic()
    with pytest.raises(HelperFailed, match="gave no answer"):
        ring(tmp_path, {"credsStore": "toy"}, "exec sleep 30").find("r")
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("name", ["gone", "../../bin/sh", "a/b"])
def test_a_helper_that_is_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(HelperFailed, match=r"gone, which is not on PATH|no program's name"):
        ring(tmp_path, {"credsStore": name}).find("r")


def test_a_failing_helper_leaves_its_servers_out_of_a_build(tmp_path: Path) -> None:
    document = {"auths": {"a": {"auth": encoded("me:pw")}}, "credHelpers": {"r": "toy"}}
    assert ring(tmp_path, document).all() == {"a": Auth("me", "pw", "a")}


def test_what_a_helper_keeps_is_not_in_the_file(tmp_path: Path) -> None:
    found = ring(tmp_path, {"credsStore": "toy"}, other='[ "$1" = store ]')
    assert found.store("r", Auth("me", SECRET, "r")) == "toy"
    assert json.loads((tmp_path / "given").read_text()) == {"ServerURL": "r", "Username": "me", "Secret": SECRET}
    assert json.loads((tmp_path / "config.json").read_text()) == {"credsStore": "toy", "auths": {"r": {}}}


def test_what_a_helper_refuses_to_keep_is_not_noted(tmp_path: Path) -> None:
    found = ring(tmp_path, {"credsStore": "toy"}, other="exit 1")
    with pytest.raises(HelperFailed):
        found.store("r", Auth("me", SECRET, "r"))
    assert json.loads((tmp_path / "config.json").read_text()) == {"credsStore": "toy"}


def test_a_first_login_makes_the_folder_and_the_file_private(tmp_path: Path) -> None:
    folder = tmp_path / "home/.docker"
    found = Keyring({"HOME": str(tmp_path / "home"), "PATH": ""})
    before = os.umask(0)
    try:
        assert found.store("r", Auth("me", "pw", "r")) == ""
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(found.path.stat().st_mode) == 0o600
    assert os.listdir(folder) == ["config.json"]
    assert found.find("r") == Auth("me", "pw", "r")
    assert found.erase("r")
    assert not found.erase("r")
    assert found.find("r") == Auth()


def test_a_store_that_is_installed_is_used_when_nothing_is_configured(tmp_path: Path) -> None:
    ring(tmp_path, {}, other="exit 0")
    (tmp_path / "docker-credential-toy").rename(tmp_path / "docker-credential-secretservice")
    found = Keyring({"DOCKER_CONFIG": str(tmp_path), "PATH": f"{tmp_path}:/usr/bin:/bin", "HERE": str(tmp_path)})
    assert found.store("r", Auth("me", "pw", "r")) == "secretservice"
    assert json.loads(found.path.read_text()) == {"credsStore": "secretservice", "auths": {"r": {}}}


def test_a_file_that_can_not_be_written_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = ring(tmp_path, {"auths": {}})

    def fail(*_paths: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(SystemFailure, match="No space left on device"):
        found.store("r", Auth("me", SECRET, "r"))
    assert sorted(os.listdir(tmp_path)) == ["config.json", "docker-credential-toy"]


def test_a_file_that_can_not_be_read_says_which(tmp_path: Path) -> None:
    (tmp_path / "config.json").mkdir()
    with pytest.raises(LabdockError, match=str(tmp_path)):
        Keyring({"DOCKER_CONFIG": str(tmp_path)}).find("r")
