"""Pulling, running, building, Compose and pruning from the page: what it says meanwhile, and what docker says after."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import urllib.request
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator

from tests.browser import axe
from tests.browser.pages import LabPage
from tests.browser.panels import Panel
from tests.registries import Registry, Stall, digest_of, threaded
from tests.system.conftest import EngineUnderTest, wait_until

pytestmark = pytest.mark.browser

LAYER = 4_000_000


class Shelf(Registry):
    """A registry with team/app:1, whose one *layer* (a digest) has /data."""

    layer = ""


@pytest.fixture(scope="module")
def registry() -> Iterator[Shelf]:
    found = Shelf()
    with threaded(found):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            member = tarfile.TarInfo("data")
            member.size = LAYER
            tar.addfile(member, io.BytesIO(os.urandom(LAYER)))
        config = {
            "os": "linux",
            "architecture": "amd64",
            "config": {"Cmd": ["/data"]},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(out.getvalue())]},
        }
        packed = gzip.compress(out.getvalue(), 1, mtime=0)
        found.add_image("team/app", "1", [packed], config)
        found.layer = digest_of(packed)
        yield found


def ask_pull(lab: LabPage, name: str) -> Locator:
    """Pull *name* by the button of the images' line; the dialog that shows how it goes."""
    Panel(lab).section("image").locator("button").click()
    lab.dialog().locator("input").fill(name)
    lab.dialog().locator(".jp-mod-accept").click()
    found = lab.find(".jp-Dialog", has_text=f"Pulling {name}")
    found.wait_for()
    return found


def test_a_pull_shows_its_progress_and_can_be_cancelled(
    desk: LabPage, engine: EngineUnderTest, registry: Shelf
) -> None:
    name = f"{registry.host}/team/app:1"
    # Sends the half of the layer, then nothing more: the browser must show that, and the button must end it.
    registry.misbehave("GET", registry.layer, Stall(LAYER // 2))
    dialog = ask_pull(desk, name)
    desk.wait(
        "() => { const bar = document.querySelector('.jp-labdock-progress progress');"
        " return bar && bar.position > 0.2 && bar.position < 0.8; }",
        "the bar says that a part is here",
    )
    assert dialog.locator(".jp-labdock-layer").count() >= 1
    assert axe.violations(desk, ".jp-Dialog") == []
    desk.picture("pull")
    dialog.locator("button", has_text="Cancel").click()
    dialog.wait_for(state="detached")
    assert engine.docker("images", "-q", name) == ""
    ask_pull(desk, name)
    desk.told(f"{name} is here")
    image = engine.docker("image", "inspect", "-f", "{{.Id}}", name)
    Panel(desk).unfold("image")
    Panel(desk).row(image, "image").wait_for()
    engine.docker("rmi", name)


def test_a_pull_that_fails_says_why(desk: LabPage, engine: EngineUnderTest, registry: Shelf) -> None:
    dialog = ask_pull(desk, f"{registry.host}/team/none:1")
    dialog.locator("[role=status]", has_text="not found").or_(dialog.get_by_text("manifest unknown")).first.wait_for()
    dialog.locator("button", has_text="Close").click()
    dialog.wait_for(state="detached")


def fill(dialog: Locator, **values: str) -> None:
    for name, value in values.items():
        control = dialog.locator(f"[name={name}]")
        if control.evaluate("node => node.tagName") == "SELECT":
            control.select_option(value)
        else:
            control.fill(value)


def test_the_form_runs_an_image_as_it_was_filled_in(desk: LabPage, engine: EngineUnderTest) -> None:
    engine.docker("network", "create", "shop")
    panel = Panel(desk)
    panel.unfold("network")
    desk.find("[data-kind=network]", has_text="shop").wait_for()
    desk.begin("labdock:run-image")
    dialog = desk.dialog()
    dialog.locator(".jp-mod-accept").click()
    dialog.get_by_text("This is needed.").wait_for()
    command = "sh -c 'mkdir -p /www && echo \"$WORD\" > /www/index.html && exec httpd -f -p 80 -h /www'"
    fill(dialog, image="busybox", name="served", command=command, network="shop", volumes="files:/files")
    ports = dialog.locator("[name=ports]")
    ports.fill("80:80:80:80")
    dialog.locator(".jp-mod-accept").click()
    dialog.get_by_text("“80:80:80:80” is no port").wait_for()
    assert ports.evaluate("node => node === document.activeElement && node.ariaInvalid === 'true'")
    desk.picture("run-fault")
    assert axe.violations(desk, ".jp-Dialog") == []
    assert dialog.locator("[name=name]").input_value() == "served", "what was filled in is still there"
    # Enter is a line more here, and does not run it.
    ports.fill("127.0.0.1::80")
    ports.press("Enter")
    ports.press_sequentially("53/udp")
    fill(dialog, environment="WORD=from the form\nEMPTY=")
    dialog.locator("[name=terminal]").check()
    dialog.locator("[name=remove]").check()
    desk.accept()
    desk.find("#labdock-panel [data-kind=container][data-state=running]", has_text="served").wait_for()
    made = json.loads(engine.docker("inspect", "served"))[0]
    assert made["Config"]["Cmd"][:2] == ["sh", "-c"] and made["Config"]["Tty"] and made["Config"]["OpenStdin"]
    assert {"WORD=from the form", "EMPTY="} <= set(made["Config"]["Env"])
    assert made["HostConfig"]["AutoRemove"] and made["HostConfig"]["NetworkMode"] == "shop"
    assert [(mount["Name"], mount["Destination"]) for mount in made["Mounts"]] == [("files", "/files")]
    assert set(made["Config"]["ExposedPorts"]) == {"80/tcp", "53/udp"}
    published = made["NetworkSettings"]["Ports"]["80/tcp"][0]
    assert published["HostIp"] == "127.0.0.1"
    wait_until(lambda: engine.docker("exec", "served", "ls", "/www/index.html", check=False), "it serves")
    with urllib.request.urlopen(f"http://127.0.0.1:{published['HostPort']}/", timeout=10) as answer:
        assert answer.read() == b"from the form\n"
    engine.docker("rm", "-f", "served")
    engine.docker("network", "rm", "shop")
    engine.docker("volume", "rm", "files")


def test_what_is_run_and_is_not_here_is_pulled_first(desk: LabPage, engine: EngineUnderTest, registry: Shelf) -> None:
    desk.expect("404 .Not Found", "400 .Bad Request")
    name = f"{registry.host}/team/app:1"
    desk.begin("labdock:run-image", id=name)
    desk.dialog().locator(".jp-mod-accept").click()
    # It is no program: what the engine says of that is said, and the container is there to be looked at.
    desk.told("/data")
    assert engine.docker("ps", "-a", "--format", "{{.Image}}") == name
    engine.docker("rm", *engine.docker("ps", "-aq").split())
    engine.docker("rmi", name)


def browser_item(lab: LabPage, folder: str, name: str) -> Locator:
    """The file in JupyterLab's own file browser."""
    lab.command("filebrowser:open-path", path=folder)
    lab.sidebar("filebrowser")
    found = lab.find(".jp-DirListing-item", has_text=name)
    found.wait_for()
    return found


def choose(lab: LabPage, label: str) -> None:
    lab.find(".lm-Menu-item:not(.lm-mod-hidden)", has_text=label).first.click()


def test_a_dockerfile_is_built_from_the_file_browsers_menu(desk: LabPage, engine: EngineUnderTest) -> None:
    folder = desk.server.work / "Shop"
    folder.mkdir()
    (folder / "greeting.txt").write_text("from the folder")
    (folder / "Dockerfile").write_text(
        'FROM busybox AS base\nARG WORD\nCOPY greeting.txt /\nRUN echo "$WORD" > /word\n\nFROM base\nRUN exit 3\n'
    )
    (folder / "notes.txt").write_text("")
    browser_item(desk, "Shop", "notes.txt").click(button="right")
    desk.find(".lm-Menu-item", has_text="Rename").first.wait_for()
    assert desk.find(".lm-Menu-item:visible", has_text="Build Image").count() == 0, (
        "not offered where it makes no sense"
    )
    desk.page.keyboard.press("Escape")

    browser_item(desk, "Shop", "Dockerfile").click(button="right")
    choose(desk, "Build Image")
    dialog = desk.dialog()
    assert dialog.locator("[name=tag]").input_value() == "shop"
    fill(dialog, tag="shop:base", target="base", args="WORD=given")
    dialog.locator(".jp-mod-accept").click()
    desk.told("shop:base was built")
    assert engine.docker("run", "--rm", "shop:base", "cat", "/word", "/greeting.txt") == "given\nfrom the folder"

    browser_item(desk, "Shop", "Dockerfile").click(button="right")
    choose(desk, "Build Image")
    desk.dialog().locator(".jp-mod-accept").click()
    dialog = desk.find(".jp-Dialog", has_text="Building shop")
    dialog.get_by_text("Dockerfile, line 7").wait_for()
    said = dialog.locator(".jp-labdock-output").text_content() or ""
    assert "7 | RUN exit 3\n" in said and "^^^^" in said, "the line, and where in it"
    assert "FROM busybox" in said and "Using cache" in said
    assert axe.violations(desk, ".jp-Dialog") == []
    desk.picture("build-failed")
    dialog.locator("button", has_text="Close").click()
    dialog.wait_for(state="detached")

    (folder / "Dockerfile").write_text("FROM busybox\nRUM true\n")
    desk.begin("labdock:build-file", path="Shop/Dockerfile")
    desk.dialog().locator(".jp-mod-accept").click()
    dialog = desk.find(".jp-Dialog", has_text="Building shop")
    dialog.get_by_text("Dockerfile, line 2").wait_for()
    assert "2 | RUM true" in (dialog.locator(".jp-labdock-output").text_content() or "")
    dialog.locator("button", has_text="Close").click()
    dialog.wait_for(state="detached")
    engine.docker("rmi", "shop:base")


def test_a_compose_file_goes_up_and_down_from_the_file_browsers_menu(desk: LabPage, engine: EngineUnderTest) -> None:
    folder = desk.server.work / "stack"
    folder.mkdir()
    (folder / "compose.yaml").write_text(
        "services:\n  web:\n    image: busybox\n    command: top\n    stop_grace_period: 0s\n"
        "  job:\n    image: busybox\n    command: top\n    stop_grace_period: 0s\n"
    )
    browser_item(desk, "stack", "compose.yaml").click(button="right")
    choose(desk, "Compose Up")
    desk.told("stack/compose.yaml is up")
    assert sorted(engine.docker("ps", "--format", "{{.Names}}").split()) == ["stack-job-1", "stack-web-1"]
    panel = Panel(desk)
    group = panel.widget.locator("[data-kind=container][aria-level='2']", has_text="stack")
    group.wait_for()
    desk.picture("compose")
    browser_item(desk, "stack", "compose.yaml").click(button="right")
    choose(desk, "Compose Down")
    desk.told("stack/compose.yaml is down")
    assert engine.docker("ps", "-aq") == "" and "stack" not in engine.docker("network", "ls")
    (folder / "compose.yaml").write_text("services:\n  web:\n    imago: busybox\n")
    desk.begin("labdock:compose-up", path="stack/compose.yaml")
    dialog = desk.dialog()
    dialog.locator("[role=status]", has_text="imago").wait_for()
    dialog.locator("button", has_text="Close").click()
    dialog.wait_for(state="detached")


#: What can be pruned.
UNUSED = ("containers", "images", "networks", "volumes", "build")


def inventory(engine: EngineUnderTest, kind: str) -> set[str]:
    """The full ids (names of volumes) of all that there is of *kind*."""
    if kind == "build":
        return {each["ID"] for each in df(engine)["BuildCache"]}
    lists = {
        "containers": ("ps", "-aq", "--no-trunc"),
        "images": ("images", "-aq", "--no-trunc"),
        "networks": ("network", "ls", "-q", "--no-trunc"),
        "volumes": ("volume", "ls", "-q"),
    }
    return set(engine.docker(*lists[kind]).split())


def df(engine: EngineUnderTest) -> dict[str, list[dict[str, str]]]:
    with_client = engine.client()
    found: dict[str, list[dict[str, str]]] = with_client.df()
    with_client.close()
    return found


def test_what_a_prune_says_is_what_goes_and_nothing_else(desk: LabPage, engine: EngineUnderTest) -> None:
    build = "FROM busybox\nRUN echo {} > /made\n"
    engine.docker("run", "-d", "--name", "used", "--network", "none", "-v", "/data", "busybox", "sleep", "600")
    engine.docker("network", "create", "kept-by-ended")
    engine.docker("network", "create", "unused")
    engine.docker("run", "--name", "ended", "--network", "kept-by-ended", "-v", "/data", "busybox", "true")
    engine.docker("create", "--name", "made", "busybox")
    engine.docker("volume", "create", "named")
    engine.docker("volume", "create")
    for text in ("one", "two"):
        engine.docker("build", "-q", "-t", "made:1", "-", stdin=build.format(text))
    try:
        for kind in UNUSED[1:] + UNUSED[:1]:
            prune(desk, engine, kind)
        assert engine.docker("ps", "-a", "--format", "{{.Names}}") == "used"
        assert "named" in inventory(engine, "volumes"), "what has a name is not removed by this"
    finally:
        engine.docker("rm", "-fv", "used", "ended", "made", check=False)
        engine.docker("network", "rm", "kept-by-ended", "unused", check=False)
        engine.docker("volume", "rm", "-f", *engine.docker("volume", "ls", "-q").split(), "named")
        engine.docker("rmi", "-f", "made:1")
        engine.docker("builder", "prune", "-af", check=False)


def prune(lab: LabPage, engine: EngineUnderTest, kind: str) -> None:
    """Look at the preview, then do it: what is gone is what it named."""
    before = inventory(engine, kind)
    Panel(lab).widget.locator(".jp-labdock-filter button").click()
    dialog = lab.dialog()
    dialog.locator("select").select_option(kind)
    dialog.locator(".jp-labdock-items, :text('There is nothing')").first.wait_for()
    lab.wait("!document.querySelector('.jp-Dialog').textContent.includes('Looking')", "the preview")
    said = lab.page.evaluate("[...document.querySelectorAll('.jp-labdock-items li')].map(li => li.dataset.id)")
    lab.picture(f"prune-{kind}")
    assert said, f"there is something of {kind} to remove"
    lab.accept()
    lab.told("freed")
    gone = before - inventory(engine, kind)
    assert gone == set(said), f"{kind}: what went is what was said"
    lab.command("apputils:dismiss-notification")
