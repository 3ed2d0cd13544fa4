"""Compose in a real kernel against a real engine: its notebook from top to bottom, and the table that changes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbconvert import HTMLExporter

from .conftest import EngineUnderTest
from .test_notebook import Kernel, folder, kernel
from .test_notebooks import executed, of

__all__ = ["folder", "kernel"]


def test_compose_from_top_to_bottom(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = executed("compose", folder, monkeypatch)
    assert "secret 'word' of service 'web': there is no file" in of(shown, "%%compose -p shop\n")
    assert "shop-client-1" in of(shown, "%compose -p shop up -d --wait")
    assert of(shown, "%compose -p shop exec client") == "a word between us\n"
    said = of(shown, "%compose -p shop up -d --scale")
    assert "Container shop-web-1 Running" in said and "Container shop-client-2 Started" in said
    assert '"image": "nginx:1.27"' in of(shown, "%%compose -p lines")
    said = of(shown, "%%compose config -q")
    assert "the cell:5: services.web.prots: unknown key" in said and "did you mean 'ports'?" in said
    assert "Volume shop_pages Removed" in of(shown, "%%compose -p shop down")
    assert "shop" not in of(shown, "%container ps -a")


STACK = """%%compose -p shop
services:
  base:
    image: busybox
    command: httpd -f -p 80
    init: true
    stop_signal: SIGKILL
    ports: ["127.0.0.1::80"]
    healthcheck: {test: test -e /now, interval: 50ms, retries: 10000}
  top: {image: busybox, command: sleep 1000, init: true, stop_signal: SIGKILL,
        depends_on: {base: {condition: service_healthy}}}
"""


class Page:
    """What the cells show, as a front end keeps it: displays are replaced by their ids."""

    def __init__(self) -> None:
        self.shown: dict[str, dict[str, str]] = {}
        self.updates: dict[str, list[float]] = {}

    def take(self, message: dict[str, Any]) -> None:
        content = message["content"]
        if message["msg_type"] in ("display_data", "update_display_data", "execute_result"):
            key = content.get("transient", {}).get("display_id") or message["msg_type"]
            self.shown[key] = content["data"]
            self.updates.setdefault(key, []).append(message["header"]["date"].timestamp())

    @property
    def html(self) -> str:
        return "".join(data.get("text/html", "") for data in self.shown.values())

    @property
    def text(self) -> str:
        return "\n".join(data.get("text/plain", "") for data in self.shown.values())


def see(kernel: Kernel, page: Page, message: str, words: str) -> None:
    """Follow the cell *message* until its outputs have *words*."""
    while words not in page.html:
        got = kernel.client.get_iopub_msg(timeout=60)
        assert got["content"].get("execution_state") != "idle" or got["parent_header"]["msg_id"] != message, page.text
        page.take(got)


def finish(kernel: Kernel, page: Page, message: str) -> dict[str, Any]:
    reply, shown = kernel.finish(message)
    for got in shown:
        page.take(got)
    return reply


def test_a_stack_is_seen_coming_up(engine: EngineUnderTest, kernel: Kernel) -> None:
    page = Page()
    message = kernel.begin(STACK.replace("shop\n", "shop up -d --wait\n", 1))
    see(kernel, page, message, "</span> starting<")
    assert "waits for base" in page.html and "shop-base-1" in page.html
    port = engine.docker("port", "shop-base-1", "80").rpartition(":")[2]
    assert f'href="http://localhost:{port}/"' in page.html, "a port is a link at once"
    engine.docker("exec", "shop-base-1", "touch", "/now")
    assert finish(kernel, page, message)["status"] == "ok"
    assert "waits for base" not in page.html
    assert "Container shop-top-1 Started" in page.text and "(healthy)" in page.text and "shop-top-1" in page.html
    # Ten a second at most, and the last.
    key = next(key for key, data in page.shown.items() if "Container shop-top-1 Started" in data["text/plain"])
    times = page.updates[key]
    assert 2 < len(times) <= 4 + (times[-1] - times[0]) * 10

    # What a saved notebook has of it, converted.
    node: Any = nbformat.NotebookNode
    outputs = [node(output_type="display_data", data=data, metadata=node()) for data in page.shown.values()]
    cell = node(cell_type="code", source=STACK, outputs=outputs, metadata=node(), execution_count=1)
    exporter: Any = HTMLExporter
    body, _ = exporter().from_notebook_node(node(cells=[cell], metadata=node(), nbformat=4, nbformat_minor=4))
    assert "Container shop-top-1 Started" in body and f'href="http://localhost:{port}/"' in body


def test_an_interrupt_tells_what_has_started(engine: EngineUnderTest, kernel: Kernel) -> None:
    page = Page()
    message = kernel.begin(STACK)
    see(kernel, page, message, "</span> starting<")
    began = time.monotonic()
    kernel.manager.interrupt_kernel()
    reply = finish(kernel, page, message)
    assert time.monotonic() - began < 2
    assert reply["evalue"].startswith("interrupted; what runs goes on (shop-base-1)")
    assert "not made" in page.html and "Container shop-base-1 Started" in page.text
    assert engine.docker("ps", "-a", "--format", "{{.Names}}") == "shop-base-1", "and nothing is half made"
