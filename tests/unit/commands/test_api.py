"""``labdock api``."""

from __future__ import annotations

import json

from labdock.client import Client
from labdock.client.scripted import Reply, Script, ScriptedTransport
from labdock.commands import run
from labdock.notebook.face import NotebookFace

ROW = {"Since": "1.24", "Handler": "x", "Status": 0, "Answer": "", "Body": "", "Query": [], "Refused": ""}
ROWS = [
    {**ROW, "Method": "POST", "Path": "/commit", "Status": 201, "Answer": "Id", "Query": ["repo"], "Body": "object"},
    {**ROW, "Method": "GET", "Path": "/swarm", "Refused": "no swarm"},
]


def ask(*words: str) -> str:
    script = Script().on(
        "GET",
        "/labdock/api",
        lambda asked: Reply(json={"openapi": "3.1.0"} if "openapi" in asked.query else {"Rows": ROWS}),
    )
    return str(run(words, NotebookFace(client=Client(ScriptedTransport(script)))))


def test_the_table_tells_what_is_served_and_what_is_refused() -> None:
    lines = [line.split() for line in ask("api").splitlines()]
    assert lines[0] == ["METHOD", "PATH", "SINCE", "ANSWER", "PARAMETERS"]
    assert lines[1] == ["POST", "/commit", "1.24", "201", "Id", "repo", "(object)"]
    assert lines[2] == ["GET", "/swarm", "1.24", "refused:", "no", "swarm"]


def test_it_takes_a_template() -> None:
    assert ask("api", "--format", "{{.Method}} {{.Path}}") == "POST /commit\nGET /swarm"


def test_the_document_is_printed_as_it_is() -> None:
    assert json.loads(ask("api", "--openapi")) == {"openapi": "3.1.0"}
