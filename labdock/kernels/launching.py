"""A kernel's container: what is asked of the engine, and a watch over it until its end. Both ways in use it."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from labdock.client import connect
from labdock.errors import EngineUnreachable, InvalidRequest, LabdockError, NoSuchContainer, NoSuchImage, Unavailable
from labdock.kernels import places
from labdock.kernels.places import LABEL, Place
from labdock.schema.container import CreateRequest, HostConfig, MountRequest

if TYPE_CHECKING:
    from labdock.client import Client
    from labdock.client.containers import Waiting
    from labdock.client.streams import Attached
    from labdock.kernels.specs import Settings

#: What goes in from the front end's environment, beside what the kernelspec names: nothing that may be a secret.
VARIABLES = ("JPY_SESSION_NAME", "TZ")
#: What every kernel gets. JPY_PARENT_PID=1: ipykernel then does not look whether its parent lives (it is the init).
FIXED = {"JPY_PARENT_PID": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
#: The engine gives its own socket for a bind of this one, wherever that is.
API_SOCKET = "/var/run/docker.sock"
START = "start.py"
CONNECTION = "kernel.json"
#: Characters of a kernel's last words that an error repeats.
TAIL = 1_000
#: Images that were seen to have a kernel, by id and interpreter: this process looks into each once.
_known: set[tuple[str, str]] = set()


class StartRefused(Unavailable):
    """A kernel could not be started. The message is one sentence with the next step: front ends show no more."""

    code = "kernel_refused"


def one_sentence(error: LabdockError) -> StartRefused:
    """*error* with its hint in its message."""
    message = " ".join(error.message.split())
    hint = " ".join((error.hint or "").split())
    return StartRefused(f"{message}: {hint}" if hint else message)


def read_mount(text: str) -> MountRequest:
    """``SRC:DST[:ro]``; SRC is an absolute path or a volume's name. Raises InvalidRequest."""
    words = text.split(":")
    mode = words.pop() if len(words) > 2 and words[-1] in ("ro", "rw") else "rw"
    if len(words) != 2 or not all(words):
        raise InvalidRequest(f"invalid mount: {text!r}", hint="--mount SRC:DST or SRC:DST:ro, such as ~/data:/data:ro")
    source, target = words
    if not target.startswith("/") or PurePosixPath(os.path.normpath(target)) == PurePosixPath("/"):
        raise InvalidRequest(
            f"invalid mount: {text!r}: {target} is no place in a container",
            hint="a path from the root, and not the root itself: --mount SRC:/data",
        )
    kind = "bind" if source.startswith("/") else "volume"
    return MountRequest(type=kind, source=source, target=os.path.normpath(target), read_only=mode == "ro")


def chosen_environment(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """What of *environment* the kernel gets: an allow-list, so that no token or password goes in by chance."""
    names = (*VARIABLES, *settings.variables)
    engine = {"DOCKER_HOST": f"unix://{API_SOCKET}"} if settings.api_socket else {}
    return engine | {name: environment[name] for name in names if name in environment} | FIXED


def request_for(settings: Settings, place: Place, environment: Mapping[str, str], folder: Path | None) -> CreateRequest:
    """The container of a kernel. *environment*: all it gets; *folder*: the notebook's, at the same path inside."""
    own = str(place.folder)
    mounts = [MountRequest(type="bind", source=own, target=own), *map(read_mount, settings.mounts)]
    if settings.api_socket:
        mounts.append(MountRequest(type="bind", source=API_SOCKET, target=API_SOCKET))
    inside = None if folder is None or str(folder) == "/" else str(folder)
    if inside is not None and all(mount.target != inside for mount in mounts):
        mounts.append(MountRequest(type="bind", source=inside, target=inside))
    host = HostConfig(
        mounts=tuple(mounts),
        init=True,
        auto_remove=True,
        network_mode=settings.network,
        memory=settings.memory,
        nano_cpus=settings.nano_cpus,
    )
    return CreateRequest(
        image=settings.image,
        entrypoint=(settings.python,),
        cmd=(f"{own}/{START}", "-f", f"{own}/{CONNECTION}"),
        env=tuple(f"{name}={value}" for name, value in environment.items()),
        working_dir=inside or "/",
        # The container's root is the user who runs the engine: sockets and files are his.
        user=settings.user or "0:0",
        labels={LABEL: place.name},
        attach_stdout=True,
        attach_stderr=True,
        host_config=host,
    )


class Watched:
    """A kernel's container that was started: forwards its output, knows its end. ``ended`` has its exit code."""

    def __init__(self, id: str, client: Client, attached: Attached, waiting: Waiting, echo: Callable[[bytes], None]):
        self.id = id
        self.ended: Future[int] = Future()
        self._client = client
        self._echo = echo
        self._tail = b""
        thread = threading.Thread(target=self._watch, args=(attached, waiting), name=f"kernel-{id[:12]}", daemon=True)
        thread.start()

    @property
    def last_words(self) -> str:
        """The end of what it wrote outside of any cell."""
        return self._tail.decode("utf-8", "replace").strip()

    def _watch(self, attached: Attached, waiting: Waiting) -> None:
        code = 137
        try:
            code = self._follow(attached, waiting)
        except (LabdockError, OSError):
            pass  # The engine has gone, and its containers with it.
        finally:
            self._client.close()
            self.ended.set_result(code)

    def _follow(self, attached: Attached, waiting: Waiting) -> int:
        while True:
            try:
                with attached:
                    for _, data in attached:
                        self._tail = (self._tail + data)[-TAIL:]
                        self._echo(data)
                try:
                    return waiting.result().status_code
                finally:
                    waiting.close()
            except (EngineUnreachable, OSError):
                # The engine was started again: its containers live on.
                if not self._client.containers.inspect(self.id).state.running:
                    raise
                waiting = self._client.containers.prepare_wait(self.id, "removed")
                attached = self._client.containers.attach(self.id, tty=False)

    def signal(self, name: str) -> None:
        """Send its first process a signal (the init passes it on). Nothing happens when it has ended."""
        with connect(start=False) as client:
            try:
                client.containers.kill(self.id, name)
            except LabdockError:
                if not self.ended.done():
                    raise

    def remove(self) -> None:
        """Kill and remove it."""
        with connect(start=False) as client:
            try:
                client.containers.remove(self.id, force=True, volumes=True)
            except (NoSuchContainer, EngineUnreachable):
                pass
            except LabdockError:
                if not self.ended.done():
                    raise


def to_stderr(data: bytes) -> None:
    """Where a local kernel's output goes too."""
    with_buffer = getattr(sys.stderr, "buffer", None)
    if with_buffer is not None:
        with_buffer.write(data)
        with_buffer.flush()
    else:
        sys.stderr.write(data.decode("utf-8", "replace"))


def launch(
    settings: Settings,
    place: Place,
    connection: bytes,
    environment: Mapping[str, str],
    folder: Path | None,
    *,
    name: str = "",
    echo: Callable[[bytes], None] = to_stderr,
) -> Watched:
    """Start a kernel that takes its *connection* file's content; returns once its container runs. Blocks.

    *name*: the container's. Raises StartRefused.
    """
    client = connect()
    try:
        places.sweep(os.environ, client)
        _look(settings, client)
        from labdock.kernels import start_program

        place.clear_sockets()
        place.write(START, Path(start_program.__file__).read_bytes())
        place.write(CONNECTION, connection)
        request = request_for(settings, place, environment, folder)
        created = client.containers.create(request, name=name or None)
        for warning in created.warnings or ():
            echo(f"labdock: {settings.image}: {warning}\n".encode())
        return _start(created.id, client, echo)
    except LabdockError as error:
        client.close()
        raise one_sentence(_explained(error, settings)) from error
    except BaseException:
        client.close()
        raise


def _start(id: str, client: Client, echo: Callable[[bytes], None]) -> Watched:
    try:
        waiting = client.containers.prepare_wait(id, "removed")
        attached = client.containers.attach(id, tty=False)
        client.containers.start(id)
    except BaseException:
        # What stays all the same, the next start sweeps.
        with contextlib.suppress(LabdockError):
            client.containers.remove(id, force=True, volumes=True)
        raise
    return Watched(id, client, attached, waiting, echo)


def _look(settings: Settings, client: Client) -> None:
    """Look into the image, unless that was done: what it lacks is said now, in words, not by a kernel that dies."""
    from labdock.kernels import probing

    found = client.images.inspect(settings.image).id
    key = (found, settings.python)
    if found != settings.image_id and key not in _known:
        probing.check(probing.probe(client, settings), settings.image)
    _known.add(key)


def _explained(error: LabdockError, settings: Settings) -> LabdockError:
    if isinstance(error, NoSuchImage):
        return NoSuchImage(settings.image, hint=f"`labdock pull {settings.image}`, or build it")
    return error
