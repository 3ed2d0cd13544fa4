"""Cells that run inside images, builds that grow from cell to cell, looks into their steps; in a real kernel."""

from __future__ import annotations

from .conftest import EngineUnderTest, wait_until
from .test_notebook import Kernel, folder, interrupted, kernel

__all__ = ["folder", "kernel"]

#: The machine's own Python, lent to an image that has none.
LENT = "-v /usr:/usr:ro -v /lib:/lib:ro -v /lib64:/lib64:ro --python /usr/bin/python3 busybox"


def test_a_cells_python_runs_in_an_image(engine: EngineUnderTest, kernel: Kernel) -> None:
    kernel.run("numbers, data = [1, 2, 3], b'\\x00\\xff'")
    cell = "import os\nprint('in', os.path.exists('/www'), os.uname().nodename)\ntotal = sum(numbers)\nback = data * 2"
    reply, shown = kernel.run(f"%%in -h boxed {LENT} --in numbers,data --out total,back\n{cell}\nlen(data)")
    assert reply["status"] == "ok", reply
    assert shown.endswith("in False boxed\n2\n")
    assert kernel.run("print(total, back)")[1] == "6 b'\\x00\\xff\\x00\\xff'\n"
    reply, shown = kernel.run(f"%%in {LENT}\n1 / 0")
    assert reply["evalue"] == "ZeroDivisionError: division by zero (line 2 of the cell)"
    assert 'File "<cell>", line 2' in shown
    reply, _ = kernel.run("%%in busybox\n1")
    assert "busybox has no python3" in reply["evalue"]
    message = kernel.begin(f"%%in {LENT}\nimport time\ntime.sleep(1000)")
    wait_until(lambda: engine.docker("ps", "-q"), "the cell runs")
    reply, _, _ = interrupted(kernel, message)
    assert reply["status"] == "error"
    wait_until(lambda: engine.docker("ps", "-aq") == "", "nothing is left")


def test_a_build_grows_and_its_steps_can_be_looked_into(engine: EngineUnderTest, kernel: Kernel) -> None:
    assert "has no beginning" in kernel.run("%%dockerfile --step grow\nRUN true")[0]["evalue"]
    kernel.run("%%dockerfile --step grow\nFROM busybox\nRUN echo one > /one")
    shown = kernel.run("%%dockerfile --step grow\nRUN cat /one > /two")[1]
    assert "RUN echo one > /one  (cached)" in shown
    reply, shown = kernel.run("%%dockerfile --step grow\n\nRUN cat /nope")
    assert reply["status"] == "error"
    assert "  3 | RUN cat /nope" in shown, "counted in the cell"
    assert kernel.run("%container run --rm grow cat /two")[1] == "one\n"
    images = engine.docker("images", "-aq")
    assert "/one\n" in kernel.run("%%container shell-at 2\nls /one /two 2>/dev/null; true")[1]
    assert kernel.run("%container shell-at 3 cat /two")[1] == "one\n"
    assert "no step 9" in kernel.run("%container shell-at 9 true")[0]["evalue"]
    assert engine.docker("images", "-aq") == images, "a look leaves no image"
    assert engine.docker("ps", "-aq") == ""


def test_a_dashboard_follows_the_engine_and_names_are_completed(engine: EngineUnderTest, kernel: Kernel) -> None:
    kernel.run("import labdock\nlabdock.dashboard().close()\nboard = labdock.dashboard()")
    shown = "print([row.children[0].value for row in board.widget.children[0].children if hasattr(row, 'children')])"
    assert kernel.run(shown)[1] == "[]\n"
    engine.docker("run", "-d", "--name", "web", "busybox", "sh", "-c", "echo said; exec sleep 1000")
    wait_until(lambda: "<b>web</b>" in kernel.run(shown)[1], "the new container has its row")
    assert kernel.run("board.look('web')")[0]["status"] == "ok"
    log = "print(board._open[0].widget.children[1].value)"
    wait_until(lambda: "said" in kernel.run(log)[1], "its log is shown")
    usage = "print(board._open[1].widget.value)"
    wait_until(lambda: "<svg" in kernel.run(usage)[1], "what it uses is drawn")
    assert kernel.run("board.close()")[0]["status"] == "ok"
    code = "%container stop w"
    message = kernel.client.complete(code, len(code))
    while (reply := kernel.client.get_shell_msg(timeout=20))["parent_header"].get("msg_id") != message:
        pass
    assert reply["content"]["matches"] == ["web"]
