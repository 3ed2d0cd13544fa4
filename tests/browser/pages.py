"""One page of JupyterLab in a real browser, as tests speak of it."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page, Playwright, Request

from tests.browser.servers import LabServer

#: Milliseconds that an element may take to be there. Generous: nothing is measured by it.
PATIENCE = 30_000
#: Milliseconds that JupyterLab may take to load.
LOADING = 90_000
SIZE = (1280, 800)
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --disable-background-networking --disable-component-update "
    "--disable-sync --no-first-run --disable-dev-shm-usage --font-render-hinting=none"
).split()
#: What JupyterLab or the browser say by themselves, with no fault of ours.
STOCK_ERRORS = (
    r"favicon\.ico",
    # Told by an older JupyterLab to an extension that was built against a newer one.
    r"Unsatisfied version .* of shared",
)
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark", "contrast": "JupyterLab Dark High Contrast"}


def find_browser() -> str:
    """The browser's program; AssertionError that says how to get it."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = next((path for name in names if (path := shutil.which(name))), None)
    assert found, "no chromium on PATH: apt-get install --no-install-recommends chromium"
    return found


def open_context(playwright: Playwright, profile: Path, scale: float = 1) -> BrowserContext:
    """A browser with a profile of its own in the folder *profile*; its cache serves all its pages."""
    return playwright.chromium.launch_persistent_context(
        str(profile),
        executable_path=find_browser(),
        headless=True,
        args=FLAGS,
        viewport={"width": SIZE[0], "height": SIZE[1]},
        device_scale_factor=scale,
        permissions=["clipboard-read", "clipboard-write"],
        locale="en-GB",
        timeout=LOADING,
    )


class LabPage:
    """A page of *context* on *server*. Errors on its console are in ``errors``; see ``check``."""

    def __init__(self, context: BrowserContext, server: LabServer) -> None:
        self.server = server
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.frames: list[str] = []
        self._expected: list[str] = list(STOCK_ERRORS)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error.stack or error.message}"))
        self.page.on("request", self._asked)
        self.page.on("websocket", self._socket)

    # --- the page as a whole --------------------------------------------------------------------------------------

    def open(self, path: str = "lab", *, size: tuple[int, int] = SIZE, theme: str = "light") -> LabPage:
        """Load JupyterLab with an empty workspace ("lab/tree/a.ipynb" opens a file) and wait until it is there."""
        self.page.set_viewport_size({"width": size[0], "height": size[1]})
        self.page.goto(f"{self.server.url}{path}?token={self.server.token}&reset")
        self.ready()
        if theme != "light":
            self.theme(theme)
        return self

    def ready(self) -> None:
        """Wait until JupyterLab's own start is over."""
        self.page.wait_for_selector("#jp-main-dock-panel", timeout=LOADING)
        self.page.wait_for_selector("#jupyterlab-splash", state="detached", timeout=LOADING)
        self.page.evaluate("window.jupyterapp.restored.then(() => true)")

    def reload(self) -> None:
        """Load the page anew, with the workspace that it had."""
        self.page.evaluate("window.jupyterapp.serviceManager.workspaces !== undefined")
        self.page.goto(self.page.url.replace("?reset", ""))
        self.ready()

    def resize(self, width: int, height: int) -> None:
        self.page.set_viewport_size({"width": width, "height": height})

    def theme(self, name: str) -> None:
        """Change to the theme "light", "dark" or "contrast", and wait until it is drawn."""
        drawn = "name => document.body.dataset.jpThemeName === name"
        if not self.page.evaluate(drawn, THEMES.get(name, name)):
            self.command("apputils:change-theme", theme=THEMES.get(name, name))
            self.page.wait_for_function(drawn, arg=THEMES.get(name, name), timeout=PATIENCE)
            # quirk: JupyterLab removes its splash twice, and fails, when the next theme comes while it fades.
            self.page.wait_for_selector("#jupyterlab-splash", state="detached")

    def command(self, id: str, /, **arguments: Any) -> Any:
        """Execute a command of JupyterLab's registry and wait for it; what it answers where that is plain data."""
        script = """async ([id, args]) => {
            const result = await window.jupyterapp.commands.execute(id, args);
            try { return JSON.parse(JSON.stringify(result ?? null)); } catch { return null; }
        }"""
        return self.page.evaluate(script, [id, arguments])

    def begin(self, id: str, /, **arguments: Any) -> None:
        """Execute a command and do not wait: for those that ask something in a dialog."""
        script = "([id, args]) => { window.jupyterapp.commands.execute(id, args).catch(() => {}); }"
        self.page.evaluate(script, [id, arguments])

    def commands(self) -> list[str]:
        """The ids of labdock's commands."""
        found: list[str] = self.page.evaluate(
            "window.jupyterapp.commands.listCommands().filter(id => id.startsWith('labdock:'))"
        )
        return sorted(found)

    # --- its parts --------------------------------------------------------------------------------------------------

    def find(self, selector: str, **options: Any) -> Locator:
        return self.page.locator(selector, **options)

    def sidebar(self, id: str) -> Locator:
        """Open the side bar's tab for the widget *id* if it is not open, and give the widget."""
        widget = self.page.locator(f"[id='{id}']")
        tab = self.page.locator(f".jp-SideBar .lm-TabBar-tab[data-id='{id}']")
        tab.wait_for()
        if "lm-mod-current" not in (tab.get_attribute("class") or ""):
            tab.click()
        widget.wait_for()
        return widget

    def dialog(self) -> Locator:
        """The dialog that is open."""
        found = self.page.locator(".jp-Dialog").last
        found.wait_for()
        return found

    def accept(self) -> None:
        """Click the dialog's own button and wait until it is gone."""
        found = self.dialog()
        found.locator(".jp-mod-accept").click()
        found.wait_for(state="detached")

    def widen(self, pixels: int) -> None:
        """Drag the handle beside the left side bar to *pixels* of width, below what JupyterLab wants, too."""
        self.page.evaluate("document.documentElement.style.setProperty('--jp-sidebar-min-width', '100px')")
        self.page.evaluate("window.dispatchEvent(new Event('resize'))")
        panel = self.page.locator("#jp-left-stack").bounding_box()
        assert panel is not None, "the left side bar is closed"
        edge, middle = panel["x"] + panel["width"] + 1, panel["y"] + panel["height"] / 2
        self.page.mouse.move(edge, middle)
        self.page.mouse.down()
        self.page.mouse.move(panel["x"] + pixels, middle, steps=4)
        self.page.mouse.up()

    def setting(self, plugin: str, key: str, value: Any) -> None:
        """Change one of a plugin's settings; None: what it is by itself."""
        # quirk: the page gives no way to the settings but the plugin that has them.
        script = """async ([plugin, key, value]) => {
          const app = window.jupyterapp, plugins = (app.pluginRegistry ?? app)._plugins;
          const provider = [...plugins.values()].find(one => one.provides?.name.endsWith(':ISettingRegistry'));
          const settings = await app.resolveOptionalService(provider.provides);
          await (value === null ? settings.remove(plugin, key) : settings.set(plugin, key, value));
        }"""
        self.page.evaluate(script, [plugin, key, value])

    def palette(self, label: str) -> None:
        """Carry out the command with this label as the keyboard does: by the palette."""
        self.page.keyboard.press("ControlOrMeta+Shift+C")
        search = self.find(".lm-CommandPalette-input:visible")
        search.fill(label)
        # The first of what fits is the active one; it is this, or the command is not there.
        active = self.find(".lm-CommandPalette-item.lm-mod-active .lm-CommandPalette-itemLabel:visible")
        self.wait(
            "label => [...document.querySelectorAll('.lm-CommandPalette-item.lm-mod-active')]"
            ".some(item => item.querySelector('.lm-CommandPalette-itemLabel').textContent === label)",
            f"the palette offers {label}",
            label,
        )
        assert active.count() == 1
        search.press("Enter")
        search.wait_for(state="hidden")

    def told(self, text: str) -> Locator:
        """Wait until a notification says *text*."""
        found = self.find(".jp-toast-message, .Toastify__toast-body", has_text=text).first
        found.wait_for()
        return found

    def tidy(self) -> None:
        """Close all tabs, menus, dialogs and notifications."""
        if self.find(".jp-Dialog, .lm-Menu").count():
            self.page.keyboard.press("Escape")
        self.command("application:close-all")
        self.command("apputils:dismiss-notification")

    def notebook(self, name: str) -> Locator:
        """Open a notebook of the work folder and wait until its kernel is idle."""
        self.command("docmanager:open", path=name)
        found = self.page.locator(".jp-NotebookPanel:visible")
        found.wait_for()
        self.idle()
        return found

    def idle(self, seconds: float = 60) -> None:
        """Wait until the notebook's kernel is idle."""
        # quirk: a cell's own data-status says idle before there is a kernel.
        self.page.wait_for_function(
            "/\\| Idle/.test(document.querySelector('#jp-main-statusbar')?.textContent ?? '')", timeout=seconds * 1000
        )

    # --- what is watched --------------------------------------------------------------------------------------------

    def expect(self, *patterns: str) -> None:
        """Errors on the console that match are part of this test."""
        self._expected.extend(patterns)

    def unexpect(self) -> None:
        """Errors are errors again, whatever was expected before."""
        self._expected = list(STOCK_ERRORS)

    def unexpected(self) -> list[str]:
        return [text for text in self.errors if not any(re.search(known, text) for known in self._expected)]

    @contextmanager
    def long_tasks(self) -> Iterator[list[int]]:
        """What held up the page meanwhile: milliseconds of each task of more than 50, the longest first."""
        self.page.evaluate(
            """() => {
              const seen = window.labdockTasks = [];
              window.labdockTaskWatch = new PerformanceObserver(list =>
                seen.push(...list.getEntries().map(entry => Math.round(entry.duration))));
              window.labdockTaskWatch.observe({ type: 'longtask' });
            }"""
        )
        seen: list[int] = []
        yield seen
        # Two frames: what is under way now is over then, and told.
        self.page.evaluate(
            "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))"
        )
        told = "labdockTasks.concat(labdockTaskWatch.takeRecords().map(entry => Math.round(entry.duration)))"
        seen.extend(sorted(self.page.evaluate(told), reverse=True))
        self.page.evaluate("labdockTaskWatch.disconnect()")

    @contextmanager
    def counting(self) -> Iterator[list[str]]:
        """The addresses of what is requested meanwhile, and the websocket frames that are sent."""
        self.requests.clear()
        self.frames.clear()
        seen: list[str] = []
        yield seen
        seen.extend(self.requests + self.frames)

    def picture(self, name: str, selector: str | None = None) -> Path | None:
        """A picture of the page (or of an element) as NAME.png in the folder $LABDOCK_PICTURES; none without that."""
        folder = os.environ.get("LABDOCK_PICTURES")
        if not folder:
            return None
        path = Path(folder) / f"{name}.png"
        part = self.page.locator(selector).first if selector else self.page
        part.screenshot(path=path, animations="disabled", caret="hide")
        return path

    def wait(self, script: str, what: str, argument: Any = None, seconds: float = PATIENCE / 1000) -> None:
        """Wait until the JavaScript expression (or function of *argument*) is true; *what* is for the failure."""
        end = time.monotonic() + seconds
        while not self.page.evaluate(script, argument):
            assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
            self.page.wait_for_timeout(50)

    def close(self) -> None:
        self.page.close()

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(f"{message.text} ({message.location.get('url', '')})")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith(("data:", "blob:")):
            self.requests.append(f"{request.method} {request.url}")

    def _socket(self, socket: Any) -> None:
        socket.on("framesent", lambda payload: self.frames.append(f"{socket.url.split('?')[0]}: {str(payload)[:200]}"))
