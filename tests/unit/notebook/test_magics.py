"""The magics in a real IPython shell, against a scripted engine."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

import labdock
from labdock.client import Client
from labdock.client.scripted import Reply, Script, ScriptedTransport
from labdock.commands.results import Records
from labdock.notebook import magics
from labdock.notebook.face import NotebookFace
from labdock.notebook.failures import CommandFailed

ID = "ab" * 32


def frame(kind: int, data: bytes) -> bytes:
    return bytes([kind, 0, 0, 0]) + len(data).to_bytes(4) + data


def talk(connection: socket.socket) -> None:
    data = b""
    while part := connection.recv(1000):
        data += part
    connection.sendall(frame(1, "héllo ".encode()[:2]) + frame(1, "héllo ".encode()[2:] + data.upper()))


@pytest.fixture
def script() -> Script:
    streams = {"Content-Type": "application/vnd.docker.multiplexed-stream"}
    return (
        Script()
        .on("GET", "/containers/json", Reply(json=[{"Id": ID, "Names": ["/web"], "State": "running", "Status": "Up"}]))
        .on("POST", "/containers/create", Reply(201, {"Id": ID}))
        .on("POST", "/containers/[^/]+/(start|stop|kill)", Reply(204))
        .on("POST", "/containers/[^/]+/attach", Reply(headers=streams, talk=talk))
        .on("POST", "/containers/[^/]+/wait", Reply(json={"StatusCode": 0}))
    )


@pytest.fixture
def shell(script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
    shell: Any = InteractiveShell.instance()
    labdock.load_ipython_extension(shell)
    client = Client(ScriptedTransport(script))

    def face(body: str | None = None, **options: Any) -> NotebookFace:
        return NotebookFace(body, client=client, **options)

    made = magics.Magics(shell, face)
    made.register()
    yield shell
    labdock.unload_ipython_extension(shell)
    assert "container" not in shell.magics_manager.magics["line"]
    shell.history_manager.end_session()
    InteractiveShell.clear_instance()


def test_a_line_gives_an_object(shell: Any) -> None:
    found = shell.run_line_magic("container", "ps")
    assert isinstance(found, Records)
    assert [container.name for container in found] == ["web"]


def test_objects_and_variables_go_into_commands(shell: Any, script: Script) -> None:
    shell.user_ns["victim"] = shell.run_line_magic("container", "ps")[0].name
    shell.run_line_magic("container", "stop {victim}")
    assert script.asked[-1].path == "/containers/web/stop"


def test_a_cell_is_its_commands_input(shell: Any, script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    assert shell.run_cell_magic("container", "run --rm busybox sh", "echo hi\n") is None
    assert capsys.readouterr().out == "héllo ECHO HI\n"
    created = next(asked.json for asked in script.asked if asked.path == "/containers/create")
    assert (created["OpenStdin"], created["StdinOnce"], created["Cmd"]) == (True, True, ["sh"])


def test_a_failing_program_fails_the_cell_in_one_line(shell: Any, script: Script) -> None:
    script.on("POST", "/containers/[^/]+/wait", Reply(json={"StatusCode": 3}))
    with pytest.raises(CommandFailed, match="the program ended with exit code 3"):
        shell.run_line_magic("container", "run -i busybox false")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("stop nope", "No such container: nope\n\nhint: look around"),
        ("run --nope x", "unknown flag: --nope"),
        ("rnu", "'rnu' is not a %container command.\n\nhint: did you mean run?"),
        ("run -it busybox sh", "the input device is not a TTY"),
        ("exec web 'x", "no closing quotation"),
    ],
)
def test_errors_are_usage_errors_with_their_hint(shell: Any, script: Script, line: str, message: str) -> None:
    script.on(
        "POST", "/containers/nope/stop", Reply(404, {"message": "No such container: nope", "hint": "look around"})
    )
    with pytest.raises(CommandFailed) as caught:
        shell.run_line_magic("container", line)
    assert message in str(caught.value)


def test_an_error_shows_no_traceback(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert not shell.run_cell("%container rnu").success
    printed = capsys.readouterr()
    assert "Traceback" not in printed.out + printed.err
    assert "did you mean run?" in printed.out + printed.err


def test_an_interrupt_fails_the_cell_in_words(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(NotebookFace, "converse", interrupt)
    with pytest.raises(CommandFailed, match="interrupted"):
        shell.run_line_magic("container", "run busybox sleep 1000")


@pytest.mark.parametrize(("status", "note"), [(204, ""), (404, "goes on in the container")])
def test_interrupting_an_exec_ends_its_process(
    shell: Any,
    script: Script,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    status: int,
    note: str,
) -> None:
    def interrupt(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    script.on("POST", "/containers/web/exec", Reply(201, {"Id": "e1"}))
    script.on("POST", "/exec/e1/start", Reply(talk=lambda connection: None))
    script.on("POST", "/labdock/exec/e1/kill", Reply(status, {"message": "page not found"} if note else None))
    monkeypatch.setattr(NotebookFace, "converse", interrupt)
    with pytest.raises(CommandFailed, match="interrupted"):
        shell.run_line_magic("container", "exec web sleep 1000")
    assert script.asked[-1].query == {"signal": ["KILL"]}
    assert note in capsys.readouterr().err


def test_following_logs_ends_quietly_when_interrupted(
    shell: Any, script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    def lines() -> Iterator[bytes]:
        yield frame(1, b"one\n")
        raise KeyboardInterrupt

    script.on("GET", "/containers/web/json", Reply(json={"Id": ID}))
    script.on("GET", "/containers/web/logs", Reply(lines=[frame(1, b"one\n")]))
    assert shell.run_line_magic("container", "logs -f web") is None
    assert capsys.readouterr().out == "one\n"
    NotebookFace().follow(("stdout", part[8:]) for part in lines())


def test_a_container_is_explained(shell: Any, script: Script) -> None:
    script.on("GET", "/labdock/containers/nope/explain", Reply(404, {"message": "No such container: nope"}))
    with pytest.raises(CommandFailed, match="No such container: nope"):
        shell.run_line_magic("explain", "nope")


BUILT = [
    b'{"event":"started","step":1,"total":1,"text":"FROM busybox","line":1}\n',
    b'{"event":"built","image":"sha256:' + ID.encode() + b'","names":["app:latest"],"seconds":0.1}\n',
]


def test_a_cell_is_built(shell: Any, script: Script) -> None:
    script.on("POST", "/build", Reply(lines=BUILT))
    script.on("GET", f"/images/sha256:{ID}/json", Reply(json={"Id": f"sha256:{ID}", "RepoTags": ["app:latest"]}))
    image = shell.run_cell_magic("dockerfile", "-t app", "FROM busybox\n")
    assert (image.id, image.names) == (f"sha256:{ID}", ("app:latest",))
    asked = next(asked for asked in script.asked if asked.path == "/build")
    assert b"FROM busybox\n" in asked.body
    assert asked.query["dockerfile"] == ["Dockerfile"]


@pytest.mark.parametrize(("cell", "sent"), [("FROM a\nRUN x\n", False), ("FROM a\nCOPY . /\n", True)])
def test_the_folder_is_sent_only_when_the_cell_takes_files(
    shell: Any, script: Script, cell: str, sent: bool, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").write_text("content")
    script.on("POST", "/build", Reply(lines=BUILT))
    script.on("GET", f"/images/sha256:{ID}/json", Reply(json={"Id": f"sha256:{ID}"}))
    shell.run_cell_magic("dockerfile", "-t app", cell)
    asked = next(asked for asked in script.asked if asked.path == "/build")
    assert (b"a-file" in asked.body) is sent


def test_a_failing_line_is_named_by_its_number_in_the_cell(
    shell: Any, script: Script, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = b'{"event":"failed","message":"it returned 1","hint":"look","step":1,"line":2,"end_line":2}\n'
    script.on("POST", "/build", Reply(lines=[BUILT[0], failed]))
    code = "\n%%dockerfile -t app\nFROM busybox\nRUN exit 1\n"
    monkeypatch.setattr(shell, "get_parent", lambda: {"content": {"code": code}}, raising=False)
    with pytest.raises(CommandFailed, match="it returned 1\n\nhint: look"):
        shell.run_cell_magic("dockerfile", "-t app", "FROM busybox\nRUN exit 1\n")
    assert "  4 | RUN exit 1\n    | ^^^^^^^^^^" in capsys.readouterr().out


def test_a_refused_dockerfile_is_shown_where_it_is_wrong(
    shell: Any, script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "dockerfile parse error on line 2: unknown instruction: RNU"
    script.on("POST", "/build", Reply(400, {"message": words}))
    with pytest.raises(CommandFailed, match="unknown instruction"):
        shell.run_cell_magic("dockerfile", "-t app", "FROM busybox\nRNU x\n")
    assert "  3 | RNU x\n    | ^^^^^" in capsys.readouterr().out


def test_an_empty_cell_says_what_is_missing(shell: Any) -> None:
    with pytest.raises(CommandFailed, match="no Dockerfile in it"):
        shell.run_cell_magic("dockerfile", "-t app", "\n")


def test_whole_megabytes_are_cut_and_said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labdock.notebook.face.MOST_OUTPUT", 10)
    face = NotebookFace()
    face.write("stdout", b"x" * 8)
    face.write("stdout", b"y" * 8)
    face.close()
    printed = capsys.readouterr()
    assert printed.out == "x" * 8 + "yy"
    assert "6 more characters" in printed.err
