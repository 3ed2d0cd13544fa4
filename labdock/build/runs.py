"""RUN as a step of a stage: its command line, its container, and what of the container is no part of the layer."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from labdock.build import BuildStepFailed, RunRequest, StepRecord
from labdock.build.cache import make_key
from labdock.build.config import DEFAULT_PATH, Draft
from labdock.build.dockerfile import instructions as ast
from labdock.build.dockerfile.statements import read_heredoc_mark
from labdock.build.dockerfile.words import LexError
from labdock.build.mounts import Resolved
from labdock.build.scope import proxy_env
from labdock.build.traces import Trace, digest_values
from labdock.build.workspace import Workspace
from labdock.schema.ids import new_id
from labdock.store.layers.rooted import open_folder, remove_tree
from labdock.store.snapshots import Layer

if TYPE_CHECKING:
    from labdock.build.stages import StageBuilder


async def run_step(builder: StageBuilder, instruction: ast.Run) -> int:
    """Carry out *instruction*, or find it in the cache; gives the bytes its layer added."""
    draft, shared, parent = builder.state.draft, builder.shared, builder.state.snapshot
    args, script = run_args(draft, instruction)
    env = draft.scope.run_env()
    if "PATH" not in draft.scope.values:
        env = (f"PATH={DEFAULT_PATH}", *env)
    network = instruction.network if instruction.network != "default" else shared.network
    mounts = await shared.mounts.resolve(draft, builder.stage.index, instruction.mounts)
    parts = [one.part for one in mounts]
    where = (draft.workdir, draft.config.user, network)
    key = make_key("run", parent, args, script, env, *where, builder.epoch, *([parts] if parts else []))
    used = [f"{name}={value}" for name, value in draft.scope.args.items()]
    shown = "RUN " + " ".join([*([f"|{len(used)}", *used] if used else []), *args])
    said: dict[str, object] = {
        "the command": [args, script],
        "the folder": where[0],
        "the user": where[1],
        "the network": where[2],
    }
    said |= {f"what is mounted at {one.target}": one.part for one in mounts}
    record = builder.find(key, Trace(instruction.text, parent or "", said, digest_values(env)))
    if record is None:
        env += proxy_env(draft.plan.build_args, draft.scope)
        request = RunRequest(
            new_id(), "", args, env, *where, hosts=shared.hosts, shm_size=shared.shm_size, limits=shared.limits
        )
        async with shared.turns:
            layer, snapshot = await _run_container(builder, request, mounts, script)
        record = builder.keep(StepRecord(key=key, created=shared.clock(), layer=layer, snapshot=snapshot, text=shown))
    return builder.advance(shown, record)


async def _run_container(
    builder: StageBuilder, request: RunRequest, mounts: tuple[Resolved, ...], script: tuple[str, str] | None
) -> tuple[Layer, str]:
    shared, progress, parent = builder.shared, builder.progress, builder.state.snapshot
    workspace = shared.workspace
    key = workspace.prepare(parent)
    places = _places(mounts)
    try:
        if script is not None:
            await workspace.work(_put_script, workspace, key, *script)
        missing = await workspace.work(_find_missing, workspace, key, places)
        async with shared.mounts.open(mounts) as opened:
            ready = replace(request, snapshot=key, mounts=opened.mounts, env=(*request.env, *opened.env))
            progress.running(ready.container)
            try:
                code = await shared.runner.run(ready, progress.output)
            finally:
                progress.output_ended()
        if code != 0:
            command = " ".join(request.args)
            raise BuildStepFailed(f"The command '{command}' returned a non-zero code: {code}", exit_code=code)
        if script is not None:
            await workspace.work(_drop_script, workspace, key, script[0])
        if missing:
            await workspace.work(_drop_stubs, workspace, key, missing)
        return await workspace.work(workspace.commit, key, parent)
    except BaseException:
        workspace.drop(key)
        raise


def run_args(draft: Draft, instruction: ast.Run) -> tuple[tuple[str, ...], tuple[str, str] | None]:
    """The argv of a RUN; and, for a heredoc that begins with ``#!``, the script's (folder, text) to put there."""
    command = instruction.command
    if not command.heredocs:
        return draft.command(command), None
    text, first = command.args[0], command.heredocs[0]
    try:
        alone = read_heredoc_mark(text) is not None
    except LexError:
        alone = False
    if not alone:
        # The shell gets the line and the bodies as they are written, end marks included.
        return (*draft.shell, text + "".join(f"\n{each.body}{each.mark.name}" for each in command.heredocs)), None
    if first.body.startswith("#!"):
        return (*draft.shell, f"/{_SCRIPTS}/script"), (_SCRIPTS, first.content)
    return (*draft.shell, first.content), None


_SCRIPTS = ".labdock-run"
#: What a container's mounts need a place for: the runtime makes one where the image has none.
_MOUNT_PLACES = ("etc/hosts", "etc/resolv.conf", "etc/hostname", "etc", "dev", "proc", "sys")


def _places(mounts: tuple[Resolved, ...]) -> tuple[str, ...]:
    """The paths that a container's mounts need, each before the folder it is in."""
    found: dict[str, None] = {}
    for one in mounts:
        path = one.target.strip("/")
        while path:
            found[path] = None
            path = path.rpartition("/")[0]
    deepest = sorted(found, key=lambda path: path.count("/"), reverse=True)
    return (*deepest, *(path for path in _MOUNT_PLACES if path not in found))


def _find_missing(workspace: Workspace, key: str, places: tuple[str, ...]) -> tuple[str, ...]:
    """Those of *places* that the image lacks."""
    with workspace.opened(key) as root:
        return tuple(path for path in places if not _exists(root, path))


def _exists(root: int, path: str) -> bool:
    parent, _, name = path.rpartition("/")
    try:
        folder = open_folder(root, os.fsencode(parent))
    except FileNotFoundError:
        return False
    except OSError:
        # A file, or links in a circle, on the way: nothing of it is taken for a stub.
        return True
    try:
        os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    finally:
        os.close(folder)
    return True


def _drop_stubs(workspace: Workspace, key: str, missing: tuple[str, ...]) -> None:
    """Take away those that are there now and empty: the step did not make them, its container's mounts did."""
    with workspace.opened(key) as root:
        for path in missing:
            parent, _, name = path.rpartition("/")
            try:
                folder = open_folder(root, os.fsencode(parent))
            except OSError:
                continue
            try:
                _drop_stub(folder, name)
            finally:
                os.close(folder)


def _drop_stub(folder: int, name: str) -> None:
    try:
        found = os.lstat(name, dir_fd=folder)
        before = os.stat(folder)
        if stat.S_ISDIR(found.st_mode):
            os.rmdir(name, dir_fd=folder)
        elif stat.S_ISREG(found.st_mode) and found.st_size == 0:
            os.unlink(name, dir_fd=folder)
        else:
            return
    except OSError:
        # Not there, or a folder that has something in it: the step's own work.
        return
    os.utime(folder, ns=(before.st_mtime_ns, before.st_mtime_ns))


def _put_script(workspace: Workspace, key: str, folder: str, text: str) -> None:
    with workspace.opened(key) as root:
        before = os.stat(root)
        os.mkdir(folder, 0o755, dir_fd=root)
        os.chmod(folder, 0o755, dir_fd=root)
        path = f"{folder}/script"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o755, dir_fd=root)
        with open(fd, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
            os.fchmod(fd, 0o755)
        os.utime(root, ns=(before.st_mtime_ns, before.st_mtime_ns))


def _drop_script(workspace: Workspace, key: str, folder: str) -> None:
    """Take the script's folder away, so that the layer has no trace of it."""
    with workspace.opened(key) as root:
        before = os.stat(root)
        with suppress(FileNotFoundError):
            remove_tree(root, os.fsencode(folder))
        os.utime(root, ns=(before.st_mtime_ns, before.st_mtime_ns))
