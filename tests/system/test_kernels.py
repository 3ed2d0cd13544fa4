"""Kernels inside images, through jupyter_client as front ends use it: the provisioner, and the command without it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

from labdock import kernels
from labdock.errors import InvalidRequest, NoSuchImage
from labdock.kernels.launching import StartRefused
from labdock.kernels.provisioner import LabdockProvisioner
from tests import kernel_image

from .conftest import wait_until
from .kernels import BARE, IMAGE, IPYKERNEL, Classroom, ImageKernel, kernel_of, open_classroom

#: Starts a kernel, says so, and waits to be killed.
LAUNCHER = """
import sys, time
from jupyter_client.manager import KernelManager
manager = KernelManager(kernel_name=sys.argv[1])
manager.start_kernel(cwd=sys.argv[2])
client = manager.client()
client.start_channels()
client.wait_for_ready(timeout=60)
print("ready", manager.provisioner.get_provisioner_info.__self__.pid, flush=True)
time.sleep(100)
"""


@pytest.fixture(scope="module")
def room() -> Iterator[Classroom]:
    with open_classroom() as found:
        kernels.add(IMAGE, name="inside", network="none")
        kernels.add(IMAGE, name="plain", provisioner=False, network="none")
        yield found


@pytest.fixture(params=["inside", "plain"])
def either(request: pytest.FixtureRequest) -> str:
    """A kernelspec's name: through the provisioner, and through the command that front ends without it run."""
    return str(request.param)


def test_the_life_of_a_kernel(room: Classroom, either: str) -> None:
    """Start, interrupt, restart, crash, restart after it, shutdown: and nothing is left (``kernel_of``)."""
    with kernel_of(room, either) as kernel:
        assert isinstance(kernel.manager.provisioner, LabdockProvisioner) == (either == "inside")
        assert kernel.text("kept = 6 * 7\nkept") == "42"
        sleeping = kernel.begin("print('asleep', flush=True)\nimport time\ntime.sleep(100)")
        while kernel.client.get_iopub_msg(timeout=30)["msg_type"] != "stream":
            pass
        kernel.manager.interrupt_kernel()
        reply, _ = kernel.finish(sleeping)
        assert reply["ename"] == "KeyboardInterrupt"
        assert kernel.text("kept") == "42", "an interrupt keeps what was there"
        kernel.restart()
        assert kernel.text("'kept' in dir()") == "False"
        kernel.restart(now=True)
        kernel.client.execute("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
        wait_until(lambda: not kernel.manager.is_alive(), "the crash is noticed")
        kernel.restart(now=True)
        assert kernel.text("1 + 1") == "2"
        assert len(room.containers()) == 1


def test_a_kernel_is_in_its_container_and_files_are_the_users(room: Classroom, either: str) -> None:
    (room.notebooks / "module_beside.py").write_text("found = 'beside the notebook'")
    with kernel_of(room, either) as kernel:
        assert kernel.text("import os\nprint(os.getcwd())") == f"{room.notebooks}\n"
        assert kernel.text("import module_beside\nmodule_beside.found") == "'beside the notebook'"
        assert kernel.text("os.path.exists('/etc/os-release'), os.path.exists('/etc/passwd')") == "(False, True)"
        assert kernel.text("sorted(os.listdir('/sys/class/net'))") == "['lo']"
        assert "hunter2" not in kernel.text("print(dict(os.environ))")
        assert kernel.text(f"os.path.exists({str(room.engine.run / 'docker.sock')!r})") == "False"
        kernel.text("open('made', 'w').close(); os.mkdir('folder')")
    for name in ("made", "folder"):
        assert (room.notebooks / name).stat().st_uid == os.getuid()
    (room.notebooks / "folder").rmdir()


def test_input_and_widgets(room: Classroom, either: str) -> None:
    with kernel_of(room, either) as kernel:
        message = kernel.client.execute("name = input('who? ')", allow_stdin=True)
        assert kernel.client.get_stdin_msg(timeout=30)["content"]["prompt"] == "who? "
        kernel.client.input("Ada")
        kernel.finish(message)
        assert kernel.text("name") == "'Ada'"
        reply, shown = kernel.finish(
            kernel.begin(
                "import ipywidgets\nslider = ipywidgets.IntSlider(3)\n"
                "slider.observe(lambda change: print('moved to', change.new), 'value')\nslider"
            )
        )
        assert reply["status"] == "ok"
        view = next(m["content"]["data"] for m in shown if m["msg_type"] == "execute_result")
        model = view["application/vnd.jupyter.widget-view+json"]["model_id"]
        update = {"method": "update", "state": {"value": 5}, "buffer_paths": []}
        sent = kernel.client.session.msg("comm_msg", {"comm_id": model, "data": update})
        kernel.client.shell_channel.send(sent)
        while (got := kernel.client.get_iopub_msg(timeout=30))["msg_type"] != "stream":
            pass
        assert got["content"]["text"].strip() == "moved to 5"
        assert kernel.text("slider.value") == "5"


def test_the_debugger(room: Classroom, either: str) -> None:
    assert json.loads((room.root / "jd/kernels" / either / "kernel.json").read_text())["metadata"]["debugger"] is True
    with kernel_of(room, either) as kernel:

        def ask(command: str, number: int, **arguments: Any) -> dict[str, Any]:
            body = {"type": "request", "seq": number, "command": command, "arguments": arguments}
            sent = kernel.client.session.msg("debug_request", body)
            kernel.client.control_channel.send(sent)
            while True:
                got = kernel.client.get_control_msg(timeout=60)
                if got["parent_header"].get("msg_id") == sent["header"]["msg_id"]:
                    content: dict[str, Any] = got["content"]
                    return content

        assert ask("debugInfo", 1)["success"]
        assert ask("initialize", 2, clientID="test", adapterID="", pathFormat="path")["success"]
        ask("attach", 3)
        assert ask("debugInfo", 4)["body"]["isStarted"] is True
        dumped = ask("dumpCell", 5, code="stop = 1\n")
        assert dumped["success"], "the kernel writes a cell's source for the debugger"
        assert ask("disconnect", 6, restart=False, terminateDebuggee=False)["success"]


def test_limits_mounts_and_networks_are_asked_for(room: Classroom) -> None:
    (room.root / "data").mkdir(exist_ok=True)
    (room.root / "data/numbers").write_text("1 2 3")
    added = room.labdock(
        *["kernel", "add", IMAGE, "--name", "limited", "--memory", "512m", "--cpus", "1.5", "--no-network"],
        *["--mount", "./data:/data:ro", "--env", "GREETING=hello $HOME", "--display-name", "Limited"],
    )
    assert added == "limited"
    assert "512" in next(line for line in room.labdock("kernel", "list").splitlines() if line.startswith("limited"))
    with kernel_of(room, "limited") as kernel:
        host = json.loads(room.docker("inspect", *room.containers()))[0]["HostConfig"]
        assert (host["Memory"], host["NanoCpus"], host["NetworkMode"]) == (512 << 20, 1_500_000_000, "none")
        assert (host["AutoRemove"], host["Init"]) == (True, True)
        assert kernel.text("open('/data/numbers').read()") == "'1 2 3'"
        assert kernel.text("import os\nos.environ['GREETING']") == "'hello $HOME'"
        reply, _ = kernel.run("open('/data/numbers', 'w')")
        assert reply["ename"] in ("OSError", "PermissionError")
        provisioner = kernel.manager.provisioner
        assert isinstance(provisioner, LabdockProvisioner)
        resolve = provisioner.resolve_path
        assert resolve("/data/numbers") == str(room.root / "data/numbers")
        assert resolve("/etc/passwd") is None
        (room.notebooks / "here.py").write_text("")
        assert resolve("here.py") == str(room.notebooks / "here.py")
    assert room.labdock("kernel", "remove", "limited") == "limited"


def test_another_user_of_the_image(room: Classroom) -> None:
    kernels.add(IMAGE, name="pupil", user="pupil")
    with kernel_of(room, "pupil") as kernel:
        assert kernel.text("import os\nos.getuid(), os.getcwd()") == f"(1000, {str(room.notebooks)!r})"
        kernel.restart(now=True)
        assert kernel.text("os_ = 1\nos_") == "1"
    kernels.remove("pupil")


@pytest.fixture
def launcher(room: Classroom, either: str) -> Iterator[subprocess.Popen[str]]:
    """A process with a kernel that is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, either, str(room.notebooks)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("ready")
    yield process
    process.kill()
    process.wait(30)
    process.stdout.close()


def test_a_kernel_ends_with_its_killed_launcher(room: Classroom, launcher: subprocess.Popen[str], either: str) -> None:
    """A killed server ends its kernels. Without the provisioner it is the command that is killed."""
    assert len(room.containers()) == 1
    victim = launcher.pid if either == "inside" else _child_of(launcher.pid)
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: not room.containers(), "the kernel has ended")


def _child_of(pid: int) -> int:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0])


@pytest.mark.parametrize("either", ["inside"], indirect=True)
def test_a_kernel_that_could_not_end_is_removed_by_the_next_start(
    room: Classroom, launcher: subprocess.Popen[str]
) -> None:
    (left,) = room.containers()
    room.docker("pause", left)
    os.kill(launcher.pid, signal.SIGKILL)
    launcher.wait(30)
    assert room.containers() == [left]
    with kernel_of(room, "inside"):
        assert room.containers() != [left]
        assert len(room.containers()) == 1


def test_a_kernel_lives_on_when_the_engine_is_killed(room: Classroom) -> None:
    with kernel_of(room, "inside") as kernel:
        kernel.text("kept = 1")
        before = room.engine.pid("engine")
        room.engine.kill("engine")
        wait_until(lambda: room.engine.pid("engine") not in (0, before), "the next engine")
        assert kernel.text("kept") == "1"
        assert kernel.manager.is_alive()
        kernel.client.execute("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
        wait_until(lambda: not kernel.manager.is_alive(), "the end is noticed through the next engine")


def refusal(name: str, room: Classroom) -> str:
    """What a front end shows when the kernel *name* can't be started."""
    with pytest.raises(StartRefused) as caught:
        KernelManager(kernel_name=name).start_kernel(cwd=str(room.notebooks))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_an_image_lacks_is_said_in_a_sentence(room: Classroom, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once when a kernel is added, and again at a start when the image has become another."""
    with pytest.raises(NoSuchImage) as caught:
        kernels.add("nowhere")
    assert caught.value.hint == "`labdock pull nowhere`, or build it"
    with pytest.raises(InvalidRequest, match="busybox has no python3"):
        kernels.add("busybox")
    room.docker("tag", IMAGE, "changing")
    kernels.add("changing")
    room.docker("tag", "busybox", "changing")
    assert "changing has no python3: take an image with Python" in refusal("changing", room)
    room.docker("rmi", "changing")
    assert refusal("changing", room) == "No such image: changing: `labdock pull changing`, or build it"
    with monkeypatch.context() as patch:
        patch.setenv("LABDOCK_RUN", str(room.root / ("x" * 90)))
        assert "too long for a kernel's sockets" in refusal("changing", room)
    with monkeypatch.context() as patch:
        (room.root / "file").write_text("")
        patch.setenv("LABDOCK_RUN", str(room.root / "r2"))
        patch.setenv("LABDOCK_DATA", str(room.root / "file/data"))
        assert refusal("changing", room).endswith(": choose another place with LABDOCK_DATA"), "the engine's own words"
    assert not room.left()
    kernels.remove("changing")


def test_installing_a_kernel_without_a_network(room: Classroom) -> None:
    room.import_image(BARE, *IPYKERNEL, "pip", leaving_out=IPYKERNEL)
    with pytest.raises(InvalidRequest, match="bare has no ipykernel") as caught:
        kernels.add(BARE)
    assert "--install" in (caught.value.hint or "")
    wheels = room.root / "wheels"
    wheels.mkdir()
    for name in (*IPYKERNEL, *kernel_image.LEFT_OUT):
        kernel_image.write_wheel(name, wheels)
    lines: list[str] = []
    spec = kernels.add(BARE, install=True, wheels=str(wheels), report=lines.append)
    assert (spec.name, spec.image) == ("bare", "bare-kernel:latest")
    assert any("Successfully installed" in line for line in lines)
    with kernel_of(room, "bare") as kernel:
        assert kernel.text("import ipywidgets\nipywidgets.__version__.split('.')[0]") == "'8'"
    kernels.remove("bare")


def test_a_notebook_is_executed_inside(room: Classroom) -> None:
    notebook = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
    for source in ("import os, sys\nx = [n * n for n in range(5)]\nx", "print(os.getpid(), sys.executable)"):
        notebook.cells.append(nbformat.v4.new_code_cell(source))  # type: ignore[no-untyped-call]
    client = NotebookClient(
        notebook, kernel_name="inside", timeout=60, resources={"metadata": {"path": str(room.notebooks)}}
    )
    client.execute()
    assert notebook.cells[0].outputs[0]["data"]["text/plain"] == "[0, 1, 4, 9, 16]"
    assert notebook.cells[1].outputs[0]["text"].split()[0] == "2", "the init is 1"
    wait_until(lambda: not room.left(), "nothing is left")


def test_kernels_side_by_side(room: Classroom) -> None:
    with kernel_of(room, "inside") as first:
        second = ImageKernel("plain", room.notebooks)
        try:
            assert first.text("which = 1\nwhich") == "1"
            assert second.text("'which' in dir()") == "False"
            assert len(room.containers()) == 2
        finally:
            second.close()
        assert first.text("which") == "1"
