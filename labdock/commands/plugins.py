"""``plugin``: what there is of managed plugins, on engines that have them; this one has and installs none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from labdock.commands import units
from labdock.commands.filters import filters
from labdock.commands.foreign import trust_option
from labdock.commands.inspecting import inspect_by
from labdock.commands.lifecycle import each
from labdock.commands.results import Result, Text, mark_short, render
from labdock.commands.tree import command
from labdock.errors import Unsupported

if TYPE_CHECKING:
    from labdock.commands.face import Face

COLUMNS = (("ID", "ID"), ("NAME", "Name"), ("DESCRIPTION", "Description"), ("ENABLED", "Enabled"))
inspect = inspect_by("plugin")


@command("ls")
@click.option("-f", "--filter", "conditions", multiple=True, help='Provide filter values (e.g. "enabled=true")')
@click.option("--format", "form", help="Format output using a Go template: table, 'table TEMPLATE', json, TEMPLATE")
@click.option("--no-trunc", is_flag=True, help="Don't truncate output")
@click.option("-q", "--quiet", is_flag=True, help="Only display plugin IDs")
@click.pass_obj
def listing(face: Face, /, conditions: tuple[str, ...], form: str | None, no_trunc: bool, quiet: bool) -> Result:
    """List plugins: labdock's own engine has none; volume plugins that run by themselves are in `info`."""
    found = face.client.plugins.list(filters(conditions))
    rows = [_row(plugin, whole=no_trunc) for plugin in found]
    return render(found, rows, COLUMNS, form=form, quiet="ID" if quiet else None, empty="no plugins")


def _row(plugin: dict[str, Any], *, whole: bool) -> dict[str, str]:
    about = str((plugin.get("Config") or {}).get("Description") or "").replace("\n", "").replace("\r", "")
    return {
        "ID": mark_short(str(plugin.get("Id") or ""), whole=whole),
        "Name": str(plugin.get("Name") or ""),
        "Description": about if whole else units.elide(about, 45),
        "Enabled": "true" if plugin.get("Enabled") else "false",
        "PluginReference": str(plugin.get("PluginReference") or ""),
    }


@command("enable")
@click.option("--timeout", type=int, default=30, help="HTTP client timeout (in seconds)")
@click.argument("plugin")
@click.pass_obj
def enable(face: Face, /, plugin: str, timeout: int) -> Result:
    """Enable a plugin."""
    face.client.plugins.enable(plugin, timeout)
    return Text(plugin)


@command("disable")
@click.option("-f", "--force", is_flag=True, help="Force the disable of an active plugin")
@click.argument("plugin")
@click.pass_obj
def disable(face: Face, /, plugin: str, force: bool) -> Result:
    """Disable a plugin."""
    face.client.plugins.disable(plugin, force=force)
    return Text(plugin)


@command("rm")
@click.option("-f", "--force", is_flag=True, help="Force the removal of an active plugin")
@click.argument("plugins", nargs=-1, required=True)
@click.pass_obj
def remove(face: Face, /, plugins: tuple[str, ...], force: bool) -> Result:
    """Remove one or more plugins."""

    def act(name: str) -> None:
        face.client.plugins.remove(name, force=force)

    return each(face, plugins, act)


@command("set")
@click.argument("plugin")
@click.argument("settings", nargs=-1, required=True)
@click.pass_obj
def change(face: Face, /, plugin: str, settings: tuple[str, ...]) -> Result | None:
    """Change settings for a plugin: KEY=VALUE."""
    face.client.plugins.set(plugin, settings)
    return None


def _refuse() -> None:
    raise Unsupported(
        "labdock does not install plugins: they are containers with the machine's own rights",
        hint="volume plugins that run by themselves are found at /run/docker/plugins and in /etc/docker/plugins",
    )


@command("install")
@click.option("--alias", help="Local name for plugin")
@click.option("--disable", "disabled", is_flag=True, help="Do not enable the plugin on install")
@click.option("--grant-all-permissions", is_flag=True, help="Grant all permissions necessary to run the plugin")
@trust_option
@click.argument("plugin")
@click.argument("settings", nargs=-1)
def install(plugin: str, settings: tuple[str, ...], **_options: Any) -> None:
    """Refused: plugins are not installed."""
    _refuse()


@command("upgrade")
@click.option("--grant-all-permissions", is_flag=True, help="Grant all permissions necessary to run the plugin")
@click.option("--skip-remote-check", is_flag=True, help="Do not check if remote plugin matches the existing image")
@trust_option
@click.argument("plugin")
@click.argument("remote", required=False)
def upgrade(plugin: str, remote: str | None, **_options: Any) -> None:
    """Refused: plugins are not installed."""
    _refuse()


@command("create")
@click.option("--compress", is_flag=True, help="Compress the context using gzip")
@click.argument("plugin")
@click.argument("folder")
def create(plugin: str, folder: str, **_options: Any) -> None:
    """Refused: plugins are not made."""
    _refuse()


@command("push")
@trust_option
@click.argument("plugin")
def push(plugin: str) -> None:
    """Refused: plugins are not pushed."""
    _refuse()
