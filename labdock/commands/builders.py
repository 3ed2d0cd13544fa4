"""``builder``: the step cache; ``debug`` and ``shell-at``: a look into a build."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from labdock.commands import units
from labdock.commands.filters import filters
from labdock.commands.results import Result, Text
from labdock.commands.tree import command
from labdock.errors import InvalidRequest, LabdockError, NotFound
from labdock.schema.paths import locate

if TYPE_CHECKING:
    from labdock.commands.face import Face

_UNITS = {"": 1, "b": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


@command("prune")
@click.option("-a", "--all", is_flag=True, help="Remove all unused build cache, not just dangling ones")
@click.option("--filter", "conditions", multiple=True, help='Provide filter values (e.g. "until=24h")')
@click.option("-f", "--force", is_flag=True, help="Do not prompt for confirmation (it never does)")
@click.option("--keep-storage", help="Amount of disk space to keep for cache")
@click.pass_obj
def prune(face: Face, /, all: bool, conditions: tuple[str, ...], force: bool, keep_storage: str | None) -> Result:
    """Remove build cache."""
    keep = _bytes(keep_storage) if keep_storage else 0
    gone, freed = face.client.builds.prune(all=all, keep=keep, filters=filters(conditions) or None)
    head = ["Deleted build cache objects:", *gone, ""] if gone else []
    return Text("\n".join([*head, f"Total reclaimed space: {units.size(freed)}"]))


def _bytes(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", text.strip(), re.IGNORECASE)
    if found is None:
        raise InvalidRequest(f"invalid argument {text!r} for --keep-storage: a size like 10GB is expected")
    return int(float(found[1]) * _UNITS[found[2].lower()])


@command("debug", stops=True)
@click.option("--image", help="The image to look into (default: the state before the step that failed last)")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def debug(face: Face, /, image: str | None, command: tuple[str, ...]) -> Result | None:
    """Run a shell, or a command, in the state just before the step at which a build failed."""
    found = image or recall_failure()
    if not found:
        raise InvalidRequest(
            "no build of yours has failed at a RUN step", hint="--image says which image to look into instead"
        )
    try:
        return look_inside(face, found, command, "debug")
    except NotFound as error:
        if image is None:
            error.hint = "what the failed build left has been collected meanwhile: build again, then debug"
        raise


def look_inside(face: Face, image: str, command: tuple[str, ...], name: str) -> Result | None:
    """A shell in *image*, or *command*; in a cell its lines. *name*: the command that was typed."""
    from labdock.commands import run

    flags = ["--rm", "--entrypoint", command[0] if command else "/bin/sh"]
    if face.keeps_results:
        flags += ["-i"] if face.read_input() else []
    else:
        flags += ["-it"] if os.isatty(0) and face.output_is_terminal() else ["-i"]
    if face.keeps_results and not command and not face.read_input():
        raise InvalidRequest(
            "a cell has no keyboard to give a shell",
            hint=f"%%container {name} runs the lines below it in there; %container {name} ls -l runs one command; "
            f"`labdock {name}` in a terminal opens the shell",
        )
    return run(["run", *flags, image, *command[1:]], face)


@command("shell-at", stops=True)
@click.argument("step", type=int)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def shell_at(face: Face, /, step: int, command: tuple[str, ...]) -> Result | None:
    """Run a shell, or a command, in the state just after a step (its number) of the last build."""
    from labdock.commands.building import build_through
    from labdock.commands.last_build import recall

    last = recall()
    if last is None:
        raise InvalidRequest("no build of yours is known", hint="build something from a folder or a cell first")
    found = next((each for each in last.steps if each.number == step), None)
    if found is None:
        steps = "; ".join(f"{each.number}: {units.elide(each.text, 40)}" for each in last.steps)
        raise InvalidRequest(f"the last build had no step {step}", hint=f"its steps: {steps}")
    before = {image.id for image in face.client.images.list(all=True)}
    image = build_through(face, last, found.line)
    try:
        return look_inside(face, image, command, f"shell-at {step}")
    finally:
        if image not in before:  # It was made for this look only.
            with contextlib.suppress(LabdockError):
                face.client.images.remove(image)


def _memory() -> Path:
    return locate(os.environ, os.getuid()).run / "failed-build"


def remember_failure(image: str) -> None:
    """Keep in mind where the last build failed; where that can't be kept, ``--image`` names it."""
    with contextlib.suppress(OSError):
        _memory().write_text(image)


def recall_failure() -> str:
    with contextlib.suppress(OSError):
        return _memory().read_text().strip()
    return ""
