"""``registry serve|stop|status`` and ``manifest inspect``: what is asked of the engine and what is shown."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest

from labdock.client import Client
from labdock.client.scripted import Asked, Reply, Script, ScriptedTransport
from labdock.commands import run
from labdock.commands.results import Result
from labdock.errors import InvalidRequest, LabdockError
from labdock.notebook.face import NotebookFace


class Face(NotebookFace):
    """A notebook with somebody who answers."""

    def __init__(self, script: Script, body: str = "", typed: str | None = None) -> None:
        super().__init__(body, client=Client(ScriptedTransport(script)))
        self.typed = typed
        self.asked: list[tuple[str, bool]] = []

    def ask(self, prompt: str, *, secret: bool = False) -> str:
        self.asked.append((prompt, secret))
        if self.typed is None:
            raise InvalidRequest("cannot ask")
        return self.typed


def serving(**changes: Any) -> Script:
    known = {"Running": True, "Address": "127.0.0.1", "Port": 5000, "User": "", "ReadOnly": False} | changes

    def serve(asked: Asked) -> Reply:
        wanted = {name: value for name, value in asked.json.items() if name != "Password"}
        return Reply(201, known | wanted)

    return Script().on("POST", "/labdock/registry", serve).on("GET", "/labdock/registry", Reply(json=known))


def ask(face: Face, words: str) -> Result:
    found = run(words.split(), face)
    assert found is not None
    return found


def test_serving_says_where() -> None:
    shown: Any = ask(Face(serving()), "registry serve --port 5001")
    assert str(shown) == "Serving at 127.0.0.1:5001, pull and push, for everybody: 127.0.0.1:5001/NAME:TAG"
    assert (shown.host, shown.port) == ("127.0.0.1:5001", 5001)


@pytest.mark.parametrize(
    ("words", "body", "typed"),
    [("--user me", "", "pw"), ("--user me --password-stdin", "pw\n", None)],
)
def test_a_password_is_asked_for_or_read(words: str, body: str, typed: str | None) -> None:
    script = serving()
    face = Face(script, body, typed)
    assert str(ask(face, f"registry serve --read-only {words}")).split(": ")[0] == (
        "Serving at 127.0.0.1:5000, read only, for me"
    )
    assert script.asked[0].json["Password"] == "pw"
    assert face.asked == ([("Password: ", True)] if typed else [])


@pytest.mark.parametrize("words", ["--password-stdin", "--user me --password-stdin", "--port 99999"])
def test_what_makes_no_sense_is_not_sent(words: str) -> None:
    script = serving()
    with pytest.raises(InvalidRequest):
        run(["registry", "serve", *words.split()], Face(script))
    assert script.asked == []


@pytest.mark.parametrize(
    ("words", "warns"),
    [
        ("--address 0.0.0.0", True),
        ("--address 0.0.0.0 --read-only", False),
        ("--address 0.0.0.0 --user me", False),
        ("--address 127.0.0.1", False),
        ("", False),
    ],
)
def test_open_doors_are_pointed_out(words: str, warns: bool, capsys: pytest.CaptureFixture[str]) -> None:
    ask(Face(serving(), typed="pw"), f"registry serve {words}")
    assert ("WARNING! Everybody" in capsys.readouterr().err) == warns


def test_status_and_stop() -> None:
    assert str(ask(Face(serving()), "registry status")).startswith("Serving at 127.0.0.1:5000")
    shown = ask(Face(serving(Running=False, Port=0)), "registry status")
    assert (str(shown), shown.exit_code) == ("The registry is not served", 1)
    shown = ask(Face(serving(Running=False, Error="port is already allocated")), "registry status")
    assert str(shown).endswith("at 127.0.0.1:5000, though it should be: port is already allocated")
    script = Script().on("DELETE", "/labdock/registry", Reply(204))
    assert str(ask(Face(script), "registry stop")) == "The registry is no longer served"


def test_a_manifest_is_shown_as_it_came() -> None:
    manifest = {"schemaVersion": 2, "config": {"size": 3}}
    data = json.dumps(manifest).encode()
    headers = {"Content-Type": "application/vnd.oci.image.manifest.v1+json", "Docker-Content-Digest": "sha256:ab"}
    script = Script().on("GET", "/labdock/manifest", Reply(body=data, headers=headers))
    shown: Any = ask(Face(script), "manifest inspect localhost:5000/a")
    assert json.loads(str(shown)) == manifest
    assert (shown.data, shown.digest) == (data, "sha256:ab")
    platform = {"os": "linux", "architecture": "arm64"}
    script.on("GET", "/distribution/localhost:5000/a@sha256:ab/json", Reply(json={"Platforms": [platform]}))
    verbose = json.loads(str(ask(Face(script), "manifest inspect -v localhost:5000/a")))
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert verbose == {
        "Ref": "localhost:5000/a:latest",
        "Descriptor": {
            "mediaType": headers["Content-Type"],
            "digest": digest,
            "size": len(data),
            "platform": platform,
        },
        "Raw": base64.b64encode(data).decode(),
        "OCIManifest": manifest,
    }


@pytest.mark.parametrize(("typed", "removes"), [("y", True), ("YES ", True), ("", False), ("n", False)])
def test_pruning_asks_first(typed: str, removes: bool) -> None:
    script = Script().on("POST", "/images/prune", Reply(json={"ImagesDeleted": None, "SpaceReclaimed": 0}))
    face = Face(script, typed=typed)
    ask(face, "image prune -a")
    assert face.asked[0][0].startswith("WARNING! This will remove all images without at least one container")
    assert bool(script.asked) == removes


def test_an_import_that_breaks_off_is_an_error() -> None:
    script = Script().on("POST", "/images/create", Reply(lines=(b'{"status":"Importing"}\n',)))
    with pytest.raises(LabdockError, match="without an image or an error"):
        run(["import", "http://h.example/x.tar"], Face(script))


def test_a_notebook_asks_through_its_front_end(monkeypatch: pytest.MonkeyPatch) -> None:
    import getpass

    monkeypatch.setattr(getpass, "getpass", lambda prompt: f"secret for {prompt}")
    assert NotebookFace().ask("Password: ", secret=True) == "secret for Password: "

    def refuse(prompt: str) -> str:
        raise NotImplementedError  # what ipykernel's StdinNotImplementedError is

    monkeypatch.setattr(getpass, "getpass", refuse)
    with pytest.raises(InvalidRequest, match="without somebody to answer"):
        NotebookFace().ask("Password: ", secret=True)
