"""The JupyterLab extension's sources: one version, no hosts, no colours of its own, every text can be translated."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXTENSION = ROOT / "extension"
PACKAGE = json.loads((EXTENSION / "package.json").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def sources(*patterns: str) -> list[Path]:
    found = sorted(path for pattern in patterns for path in EXTENSION.glob(pattern) if "node_modules" not in path.parts)
    assert found, patterns
    return found


def test_one_version_for_python_and_javascript() -> None:
    assert PACKAGE["version"] == PROJECT["version"]


def test_what_the_extension_manager_reads_is_there() -> None:
    assert {
        "Framework :: Jupyter :: JupyterLab :: 4",
        "Framework :: Jupyter :: JupyterLab :: Extensions :: Prebuilt",
    } <= set(PROJECT["classifiers"])
    assert "jupyterlab-extension" in PACKAGE["keywords"]
    assert PACKAGE["jupyterlab"]["discovery"]["server"]["base"]["name"] == "labdock"
    assert all(PACKAGE[key] for key in ("description", "license", "author"))
    assert json.loads((EXTENSION / "install.json").read_text())["packageName"] == "labdock"


def test_the_lock_file_names_no_host_and_is_the_only_one() -> None:
    assert "://" not in (EXTENSION / "yarn.lock").read_text().replace("# ", "")
    assert not [name for name in ("package-lock.json", "pnpm-lock.yaml") if (EXTENSION / name).exists()]


def test_styles_have_no_colours_of_their_own_and_name_their_classes() -> None:
    for path in sources("style/*.css"):
        text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S)
        assert not re.findall(r"#[0-9a-fA-F]{3,8}\b|\brgba?\(|\bhsla?\(", text), path
        classes = set(re.findall(r"\.(-?[a-zA-Z_][\w-]*)", re.sub(r"url\([^)]*\)|\"[^\"]*\"|'[^']*'", "", text)))
        foreign = {name for name in classes if not name.startswith(("jp-", "lm-", "cm-", "xterm"))}
        assert not foreign, f"{path}: {sorted(foreign)}"


def test_nothing_is_written_to_the_console() -> None:
    loud = re.compile(r"\bconsole\.(log|debug|info)\(")
    assert [path.name for path in sources("src/**/*.ts", "src/**/*.tsx") if loud.search(path.read_text())] == []


def test_every_setting_has_a_title_a_description_and_a_default() -> None:
    for path in sources("schema/*.json"):
        schema = json.loads(path.read_text())
        assert schema["title"], path
        assert schema["description"], path
        for name, described in schema.get("properties", {}).items():
            assert {"title", "description", "default"} <= set(described), f"{path.name}: {name}"


def test_plugins_are_called_after_the_package_and_described() -> None:
    text = "\n".join(path.read_text() for path in sources("src/**/*.ts", "src/**/*.tsx"))
    plugins = re.findall(r"JupyterFrontEndPlugin<[^=]*?=\s*\{(.*?)activate", text, flags=re.S)
    assert len(plugins) >= 2
    for plugin in plugins:
        assert re.search(r"id: *['\"]labdock:[a-z-]+['\"]", plugin), plugin
        assert re.search(r"description:\s*['\"`]\w", plugin), plugin
