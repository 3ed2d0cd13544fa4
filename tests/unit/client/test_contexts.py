"""Docker's store of contexts: what is kept in it, and which engine is meant."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from labdock.client.contexts import ContextStore, StoredContext, check_name, parse
from labdock.client.engine import Endpoint, Tls, find_endpoint
from labdock.errors import InvalidRequest, NotFound

SOCKET = "unix:///r/docker.sock"
DOCKERS = b'{"Name":"far","Metadata":{"Description":"d","x":1},"Endpoints":{"docker":{"Host":"tcp://h:1","SkipTLSVerify":true},"k8s":{}}}'


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"LABDOCK_RUN": "/r", "DOCKER_CONFIG": str(tmp_path)}


@pytest.fixture
def store(environment: dict[str, str]) -> ContextStore:
    return ContextStore(environment)


def test_what_docker_wrote_is_read_and_what_others_keep_in_it_stays(store: ContextStore) -> None:
    folder = store.meta("far")
    folder.mkdir(parents=True)
    (folder / "meta.json").write_bytes(DOCKERS)
    found = store.get("far")
    assert (found.name, found.host, found.description, found.skip_verify) == ("far", "tcp://h:1", "d", True)
    store.write(found)
    assert json.loads((folder / "meta.json").read_bytes()) == json.loads(DOCKERS)
    assert [each.name for each in store.all()] == ["far"]


def test_a_private_key_is_for_its_owner_only_and_goes_with_the_context(store: ContextStore) -> None:
    store.write(StoredContext("far", "tcp://h:2376", tls={"key.pem": b"secret", "ca.pem": b"x"}))
    key = store.tls("far") / "docker" / "key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert store.get("far").tls == {"key.pem": b"secret", "ca.pem": b"x"}
    store.write(StoredContext("far", "tcp://h:2376"))
    assert not key.exists()
    store.remove("far")
    assert not store.exists("far")


def test_choosing_keeps_the_rest_of_the_configuration(store: ContextStore, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"auths": {"r": {"auth": "QTpC"}}, "currentContext": "old"}')
    store.choose("far")
    assert json.loads(file.read_text()) == {"auths": {"r": {"auth": "QTpC"}}, "currentContext": "far"}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    store.choose("default")
    assert json.loads(file.read_text()) == {"auths": {"r": {"auth": "QTpC"}}}


def test_a_linked_configuration_stays_a_link(store: ContextStore, tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    (tmp_path / "dotfiles" / "docker.json").write_text("{}")
    (tmp_path / "config.json").symlink_to("dotfiles/docker.json")
    store.choose("far")
    assert (tmp_path / "config.json").is_symlink()
    assert json.loads((tmp_path / "dotfiles" / "docker.json").read_text()) == {"currentContext": "far"}


@pytest.mark.parametrize(
    ("variables", "chosen", "host", "context", "own"),
    [
        ({}, None, SOCKET, "default", True),
        ({}, "far", "ssh://me@far", "far", False),
        ({}, "default", SOCKET, "default", True),
        ({}, "labdock", SOCKET, "labdock", True),
        ({"DOCKER_CONTEXT": "near"}, "far", SOCKET, "near", True),
        ({"DOCKER_CONTEXT": "default"}, "far", SOCKET, "default", True),
        ({"DOCKER_HOST": "tcp://h:1"}, "far", "tcp://h:1", "default", False),
        ({"DOCKER_HOST": "tcp://h:1", "DOCKER_CONTEXT": "far"}, None, "tcp://h:1", "default", False),
        ({"DOCKER_HOST": "tcp://h:1", "LABDOCK_HOST": "unix:///x"}, "far", "unix:///x", "default", False),
        ({"DOCKER_HOST": SOCKET}, "far", SOCKET, "default", True),
    ],
)
def test_which_engine_is_meant(
    environment: dict[str, str],
    store: ContextStore,
    variables: dict[str, str],
    chosen: str | None,
    host: str,
    context: str,
    own: bool,
) -> None:
    store.write(StoredContext("far", "ssh://me@far"))
    store.write(StoredContext("near", SOCKET))
    if chosen:
        store.choose(chosen)
    assert find_endpoint(environment | variables) == Endpoint(host, context, own)


def test_a_context_that_is_not_there_is_named_in_dockers_words(environment: dict[str, str]) -> None:
    with pytest.raises(NotFound, match=r'context "gone": context not found: open .*meta\.json: no such file'):
        find_endpoint(environment | {"DOCKER_CONTEXT": "gone"})


def test_tls_comes_from_the_context_or_from_the_environment(
    environment: dict[str, str], store: ContextStore, tmp_path: Path
) -> None:
    store.write(StoredContext("far", "tcp://h:2376", skip_verify=True, tls={"ca.pem": b"x"}))
    found = find_endpoint(environment | {"DOCKER_CONTEXT": "far"})
    assert found.tls == Tls(str(store.tls("far") / "docker" / "ca.pem"), "", "", verify=False)
    (tmp_path / "cert.pem").write_bytes(b"x")
    given = environment | {"DOCKER_HOST": "tcp://h", "DOCKER_TLS_VERIFY": "1", "LABDOCK_TLS_CA": "/own/ca"}
    assert find_endpoint(given).tls == Tls("/own/ca", str(tmp_path / "cert.pem"), "", verify=True)


@pytest.mark.parametrize("name", ["a", "default", "../x", "x y", "", "-x", "x\n", "é" * 3])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(InvalidRequest):
        check_name(name)


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"Name":"x","Endpoints":{"docker":{"Host":1}}}', b'{"Endpoints":[]}']
)
def test_damaged_ones_say_so(data: bytes) -> None:
    with pytest.raises(InvalidRequest, match="is no context"):
        parse(data, "it")
