"""Building one stage: its instructions in order, each found in the cache or carried out. On the event loop;
what blocks runs in the workspace's threads."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from labdock.build import BuildStepFailed, Runner, RunRequest, StepRecord
from labdock.build.cache import StepCache, make_key
from labdock.build.config import DEFAULT_PATH, Draft, apply, move_workdir
from labdock.build.copies import Taken, describe, fill, resolve, take
from labdock.build.dockerfile import instructions as ast
from labdock.build.dockerfile.parser import parse_trigger
from labdock.build.dockerfile.source import refuse
from labdock.build.dockerfile.statements import read_heredoc_mark
from labdock.build.dockerfile.words import LexError
from labdock.build.plan import Source, check_supported, find_source
from labdock.build.progress import Progress
from labdock.build.rootfs import find_user, is_folder, make_folder
from labdock.build.scope import proxy_env
from labdock.build.trees import MemoryTree, Tree
from labdock.build.workspace import Workspace
from labdock.errors import DockerfileError, InvalidRequest
from labdock.schema.ids import new_id
from labdock.schema.oci import History
from labdock.store.layers.rooted import FLAGS, remove_tree
from labdock.store.leases import Hold
from labdock.store.snapshots import Layer

Clock = Callable[[], str]
#: Finds the snapshot of another stage or an image, building the stage if need be. None: an empty one.
FindSnapshot = Callable[[Source], Awaitable[str | None]]


@dataclass(slots=True)
class Shared:
    """What all stages of a build have in common. ``allowed``: see StepCache.find; ``clock`` gives RFC 3339;
    ``hold`` keeps what the build stands on from being collected."""

    workspace: Workspace
    cache: StepCache
    runner: Runner
    progress: Progress
    context: MemoryTree
    clock: Clock
    find_snapshot: FindSnapshot
    hold: Hold
    network: str = "default"
    no_cache: bool = False
    allowed: frozenset[str] | None = None


@dataclass(slots=True)
class StageState:
    """A stage as far as it is built. ``snapshot``: the chain id of its files; ``state`` names all of it."""

    draft: Draft
    snapshot: str | None
    layers: list[Layer]
    state: str

    def child(self) -> StageState:
        return StageState(self.draft.child(), self.snapshot, list(self.layers), self.state)


class StageBuilder:
    """Carries out instructions on one stage's state. ``progress.start`` was called for its FROM."""

    def __init__(self, shared: Shared, stage: ast.Stage, state: StageState) -> None:
        self._shared = shared
        self._stage = stage
        self._epoch = shared.workspace.epoch
        self.state = state

    async def run(self) -> None:
        """All of the stage's instructions, ONBUILD triggers of its base first."""
        await self._run_triggers()
        self._shared.progress.done(self.state.state)
        for instruction in self._stage.instructions:
            self._shared.progress.start(instruction, self._stage.name)
            size = await self.step(instruction)
            self._shared.progress.done(self.state.state, size)

    async def _run_triggers(self) -> None:
        triggers = self.state.draft.config.on_build
        if not triggers:
            return
        many = "triggers" if len(triggers) > 1 else "trigger"
        self._shared.progress.notice(f"# Executing {len(triggers)} build {many}", self._stage.start.range.line)
        self.state.draft.change(on_build=())
        for text in triggers:
            try:
                instruction = parse_trigger(text)
                check_supported(instruction)
                await self.step(instruction)
            except DockerfileError as error:
                problem = error.message.partition(": ")[2] or error.message
                message = f"the base image's ONBUILD trigger `{text}`: {problem}"
                raise refuse(self._stage.start.base.range, message, hint=error.hint) from error

    async def step(self, instruction: ast.Instruction) -> int:
        """One instruction; gives the bytes its layer added."""
        if isinstance(instruction, ast.Run):
            return await self._run(instruction)
        if isinstance(instruction, ast.Transfer):
            return await self._copy(instruction)
        if isinstance(instruction, ast.Workdir):
            return await self._workdir(instruction)
        shown = apply(self.state.draft, instruction)
        assert shown is not None, instruction
        key = make_key("config", self.state.state, shown, self._epoch)
        record = self._find(key)
        if record is None:
            record = self._keep(StepRecord(key=key, created=self._shared.clock()))
        self._advance(shown, record)
        return 0

    def _find(self, key: str) -> StepRecord | None:
        allowed = self._shared.allowed
        if self._shared.no_cache or allowed == frozenset():
            return None
        record = self._shared.cache.find(key, allowed)
        if record is not None:
            self._shared.progress.cached()
        return record

    def _keep(self, record: StepRecord) -> StepRecord:
        self._shared.cache.keep(record)
        return record

    def _advance(self, shown: str, record: StepRecord) -> int:
        """Take what a step made into the state."""
        state, layer = self.state, record.layer
        if layer is not None:
            self._shared.hold.add(record.snapshot, layer.digest)
            state.layers.append(layer)
            state.snapshot = record.snapshot
        name = f"{state.state}\0{shown}\0{record.snapshot}".encode("utf-8", "surrogateescape")
        state.state = f"sha256:{hashlib.sha256(name).hexdigest()}"
        state.draft.history.append(
            History(created=record.created, created_by=shown, comment="labdock", empty_layer=layer is None)
        )
        return layer.size if layer is not None else 0

    async def _run(self, instruction: ast.Run) -> int:
        draft = self.state.draft
        args, script = run_args(draft, instruction)
        env = draft.scope.run_env()
        if "PATH" not in draft.scope.values:
            env = (f"PATH={DEFAULT_PATH}", *env)
        network = instruction.network if instruction.network != "default" else self._shared.network
        key = make_key(
            "run", self.state.snapshot, args, script, env, draft.workdir, draft.config.user, network, self._epoch
        )
        used = [f"{name}={value}" for name, value in draft.scope.args.items()]
        shown = "RUN " + " ".join([*([f"|{len(used)}", *used] if used else []), *args])
        record = self._find(key)
        if record is None:
            env += proxy_env(draft.plan.build_args, draft.scope)
            request = RunRequest(new_id(), "", args, env, draft.workdir, draft.config.user, network)
            layer, snapshot = await self._run_container(instruction, request, script)
            created = self._shared.clock()
            record = self._keep(StepRecord(key=key, created=created, layer=layer, snapshot=snapshot))
        return self._advance(shown, record)

    async def _run_container(
        self, instruction: ast.Run, request: RunRequest, script: tuple[str, str] | None
    ) -> tuple[Layer, str]:
        workspace, progress, parent = self._shared.workspace, self._shared.progress, self.state.snapshot
        key = workspace.prepare(parent)
        try:
            if script is not None:
                await workspace.work(_put_script, workspace, key, *script)
            ready = RunRequest(
                request.container, key, request.args, request.env, request.cwd, request.user, request.network
            )
            missing = await workspace.work(_find_missing, workspace, key)
            progress.running(ready.container)
            try:
                code = await self._shared.runner.run(ready, progress.output)
            finally:
                progress.output_ended()
            if code != 0:
                command = " ".join(request.args)
                message = f"The command '{command}' returned a non-zero code: {code}"
                raise BuildStepFailed(message, exit_code=code)
            if script is not None:
                await workspace.work(_drop_script, workspace, key, script[0])
            if missing:
                await workspace.work(_drop_stubs, workspace, key, missing)
            return await workspace.work(workspace.commit, key, parent)
        except BaseException:
            workspace.drop(key)
            raise

    async def _workdir(self, instruction: ast.Workdir) -> int:
        draft, workspace, parent = self.state.draft, self._shared.workspace, self.state.snapshot
        path = move_workdir(draft, instruction)
        user = draft.config.user
        key = make_key("workdir", parent, path, user, self._epoch)
        record = self._find(key)
        if record is None:
            fill_workdir = _workdir_filler(path, user)
            made = await workspace.work(workspace.make_layer, parent, fill_workdir)
            layer, snapshot = made if made is not None else (None, "")
            record = self._keep(StepRecord(key=key, created=self._shared.clock(), layer=layer, snapshot=snapshot))
        return self._advance(f"WORKDIR {path}", record)

    async def _copy(self, instruction: ast.Transfer) -> int:
        draft, workspace = self.state.draft, self._shared.workspace
        order = resolve(draft, instruction)
        source: str | None = None
        from_elsewhere = isinstance(instruction, ast.Copy) and instruction.source is not None
        definition = [self.state.snapshot, describe(order), self._epoch]
        early = ""
        if isinstance(instruction, ast.Copy) and instruction.source is not None:
            found = find_source(draft.plan.dockerfile, self._stage.index, instruction.source)
            source = await self._shared.find_snapshot(found)
            early = make_key("copy-from", source, *definition)
            record = self._find(early)
            if record is not None:
                return self._advance(order.shown, record)

        def look() -> str:
            with self._opened_source(from_elsewhere, source) as tree:
                return take(tree, order, owners=from_elsewhere).digest

        def make(digest: str) -> tuple[Layer, str] | None:
            with self._opened_source(from_elsewhere, source) as tree:
                taken: Taken = take(tree, order, owners=from_elsewhere)
                return workspace.make_layer(self.state.snapshot, lambda fd: fill(fd, taken, order, workspace, notices))

        notices: list[str] = []
        digest = await workspace.work(look)
        key = make_key("copy", digest, *definition)
        record = self._find(key)
        if record is None:
            layer, snapshot = await workspace.work(make, digest) or (None, "")
            for text in notices:
                self._shared.progress.notice(text, instruction.range.line)
            record = self._keep(StepRecord(key=key, created=self._shared.clock(), layer=layer, snapshot=snapshot))
        if early:
            self._keep(StepRecord(key=early, created=record.created, layer=record.layer, snapshot=record.snapshot))
        return self._advance(order.shown, record)

    @contextmanager
    def _opened_source(self, from_elsewhere: bool, snapshot: str | None) -> Iterator[Tree]:
        if not from_elsewhere:
            yield self._shared.context
            return
        with self._shared.workspace.viewed(snapshot) as tree:
            yield tree


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


def _find_missing(workspace: Workspace, key: str) -> tuple[str, ...]:
    """The places of mounts that the image lacks."""
    with workspace.opened(key) as root:
        return tuple(path for path in _MOUNT_PLACES if not _exists(root, path))


def _exists(root: int, path: str) -> bool:
    # A link on the way means an image that is made in its own manner: nothing of it is taken for a stub.
    try:
        os.lstat(path, dir_fd=root)
    except FileNotFoundError:
        return False
    except NotADirectoryError:
        return True
    return True


def _drop_stubs(workspace: Workspace, key: str, missing: tuple[str, ...]) -> None:
    """Take away those that are there now and empty: the step did not make them, its container's mounts did."""
    with workspace.opened(key) as root:
        for path in missing:
            parent, _, name = path.rpartition("/")
            try:
                folder = os.open(parent or ".", FLAGS | os.O_NOFOLLOW, dir_fd=root)
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


def _workdir_filler(path: str, user: str) -> Callable[[int], bool]:
    name = os.fsencode(path.strip("/"))

    def fill_workdir(root: int) -> bool:
        if is_folder(root, name):
            return False
        owner = find_user(root, user) if user else (0, 0)
        try:
            os.close(make_folder(root, name, owner))
        except NotADirectoryError as error:
            raise InvalidRequest(f"WORKDIR {path}: it is not a directory in the image") from error
        return True

    return fill_workdir
