"""Running programs in containers from Python: what ``containers.run`` takes and gives.

::

    client = labdock.connect()
    print(client.containers.run("busybox", ["echo", "hello"]).text)
    with client.containers.run("httpd", detach=True, ports={80: None}) as web:
        print(web.port(80))
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict

from labdock.errors import InvalidRequest, LabdockError, NoSuchContainer
from labdock.schema.container import (
    CreateRequest,
    EndpointConfig,
    HostConfig,
    NetworkingConfig,
    PortBinding,
    RestartPolicy,
)

if TYPE_CHECKING:
    from labdock.client.containers import Containers, Execs
    from labdock.client.results import Container, Exit
    from labdock.client.streams import Attached, Output, Stream

Command = str | Sequence[str]
#: Characters of a failed program's errors that its message repeats.
TAIL = 2_000


class RunOptions(TypedDict, total=False):
    """What a container may be given. Sizes in bytes.

    ``ports``: the container's port (``80``, ``"53/udp"``) → the host's; None: a free one. ``volumes``: a host's
    folder or a volume's name → where it is in the container (``"/data"``, ``"/data:ro"``). ``network``: a name.
    """

    name: str | None
    environment: Mapping[str, str]
    ports: Mapping[int | str, int | str | None]
    volumes: Mapping[str, str]
    tmpfs: Sequence[str]
    workdir: str
    user: str
    hostname: str
    entrypoint: Command
    labels: Mapping[str, str]
    network: str
    aliases: Sequence[str]
    extra_hosts: Mapping[str, str]
    memory: int
    cpus: float
    pids: int
    shm_size: int
    cap_add: Sequence[str]
    cap_drop: Sequence[str]
    privileged: bool
    read_only: bool
    init: bool
    restart: str
    stop_signal: str
    platform: str


def request_for(
    image: str, command: Command | None, options: RunOptions, *, attach: bool, stdin: bool, remove: bool
) -> CreateRequest:
    """The request that *options* mean. A command as one text is split as a shell does. Raises InvalidRequest."""
    given = set(options) - set(RunOptions.__annotations__)
    if given:
        raise InvalidRequest(f"unknown options: {', '.join(sorted(given))}", hint="help(client.containers.run)")
    ports = {_port(inner): outer for inner, outer in options.get("ports", {}).items()}
    policy, _, count = options.get("restart", "").partition(":")
    host = HostConfig(
        binds=tuple(f"{source}:{target}" for source, target in options.get("volumes", {}).items()) or None,
        tmpfs={path: "" for path in options.get("tmpfs", ())} or None,
        port_bindings={inner: (_binding(outer),) for inner, outer in ports.items()} or None,
        network_mode=options.get("network", ""),
        extra_hosts=tuple(f"{name}:{ip}" for name, ip in options.get("extra_hosts", {}).items()) or None,
        memory=options.get("memory", 0),
        nano_cpus=int(options.get("cpus", 0) * 10**9),
        pids_limit=options.get("pids"),
        shm_size=options.get("shm_size", 0),
        cap_add=tuple(options.get("cap_add", ())) or None,
        cap_drop=tuple(options.get("cap_drop", ())) or None,
        privileged=options.get("privileged", False),
        readonly_rootfs=options.get("read_only", False),
        init=True if options.get("init") else None,
        restart_policy=RestartPolicy(name=policy, maximum_retry_count=int(count or 0)) if policy else None,
        auto_remove=remove,
    )
    aliases = tuple(options.get("aliases", ()))
    endpoint: dict[str, EndpointConfig | None] = {}
    if aliases:
        endpoint[options.get("network") or "default"] = EndpointConfig(aliases=aliases)
    entrypoint = options.get("entrypoint")
    return CreateRequest(
        image=image,
        cmd=_words(command),
        entrypoint=None if entrypoint is None else _words(entrypoint),
        env=tuple(f"{name}={value}" for name, value in options.get("environment", {}).items()) or None,
        exposed_ports={inner: {} for inner in ports} or None,
        working_dir=options.get("workdir", ""),
        user=options.get("user", ""),
        hostname=options.get("hostname", ""),
        labels=dict(options.get("labels", {})) or None,
        stop_signal=options.get("stop_signal"),
        attach_stdin=stdin,
        attach_stdout=attach,
        attach_stderr=attach,
        open_stdin=stdin,
        stdin_once=stdin,
        host_config=host,
        networking_config=NetworkingConfig(endpoints_config=endpoint) if endpoint else None,
    )


def _words(command: Command | None) -> tuple[str, ...] | None:
    if command is None:
        return None
    try:
        return tuple(shlex.split(command) if isinstance(command, str) else command)
    except ValueError as error:
        raise InvalidRequest(f"cannot split the command {command!r}: {error}", hint="give it as a list") from error


def _port(inner: int | str) -> str:
    return f"{inner}" if "/" in str(inner) else f"{inner}/tcp"


def _binding(outer: int | str | None) -> PortBinding:
    """``8080``, ``"127.0.0.1:8080"``, None for a free port."""
    ip, _, port = ("" if outer is None else str(outer)).rpartition(":")
    return PortBinding(host_ip=ip, host_port=port)


@dataclass(frozen=True, slots=True)
class Finished:
    """A program that ended: what it wrote, and its exit code."""

    exit_code: int
    stdout: bytes = field(repr=False)
    stderr: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """Its output as text, without the last line end."""
        return self.stdout.decode("utf-8", "replace").rstrip("\n")

    def __str__(self) -> str:
        return self.text


class ProgramFailed(LabdockError):
    """A program in a container ended with another exit code than 0; ``finished`` has what it wrote."""

    code = "program_failed"

    def __init__(self, what: str, finished: Finished) -> None:
        said = (finished.stderr or finished.stdout)[-TAIL:].decode("utf-8", "replace").strip()
        super().__init__(f"{what} ended with exit code {finished.exit_code}" + (f": {said}" if said else ""))
        self.finished = finished


class Running:
    """A container that was started, to be worked with by its id.

    A context manager: at its end the container is stopped and removed, with its anonymous volumes.
    """

    def __init__(self, containers: Containers, execs: Execs, id: str, name: str = "") -> None:
        self._containers = containers
        self._execs = execs
        self.id = id
        self.name = name

    def __repr__(self) -> str:
        return f"<container {self.name or self.id[:12]}>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        try:
            return self.inspect()._repr_mimebundle_()
        except LabdockError as error:
            return {"text/plain": f"{self!r}: {error}"}

    def inspect(self) -> Container:
        """All about it, as it is now. Raises NoSuchContainer."""
        return self._containers.inspect(self.id)

    def port(self, inner: int | str) -> int:
        """The host's port that *inner* is published on. Raises InvalidRequest when it is not."""
        bindings = self.inspect().ports.get(_port(inner)) or []
        if not bindings:
            raise InvalidRequest(
                f"port {inner} of {self.name or self.id[:12]} is not published", hint="ports={80: None}"
            )
        return bindings[0][1]

    def exec(
        self,
        command: Command,
        *,
        input: bytes | str = b"",
        check: bool = True,
        user: str = "",
        workdir: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> Finished:
        """Run a program in it and wait for its end. Raises Conflict when it does not run, ProgramFailed if *check*."""
        from labdock.schema.container import ExecConfig

        data = input.encode() if isinstance(input, str) else input
        config = ExecConfig(
            attach_stdin=bool(data),
            attach_stdout=True,
            attach_stderr=True,
            cmd=_words(command),
            user=user,
            working_dir=workdir,
            env=tuple(f"{name}={value}" for name, value in (environment or {}).items()) or None,
        )
        id = self._execs.create(self.id, config)
        with self._execs.start(id) as attached:
            stdout, stderr = gather(attached, data)
        finished = Finished(self._execs.inspect(id).exit_code, stdout, stderr)
        if check and finished.exit_code:
            raise ProgramFailed(shown(command), finished)
        return finished

    def logs(self, *, follow: bool = False, tail: str | None = None) -> Output:
        """(stream, bytes) pairs; a context manager, closing it stops following."""
        return self._containers.logs(self.id, follow=follow, tail=tail)

    def lines(self, *, follow: bool = True) -> Iterator[str]:
        """Its output, line by line as text; until its end when *follow*."""
        rest: dict[Stream, bytes] = {}
        with self.logs(follow=follow) as output:
            for stream, data in output:
                *whole, rest[stream] = (rest.get(stream, b"") + data).split(b"\n")
                for line in whole:
                    yield line.decode("utf-8", "replace")
        for left in filter(None, rest.values()):
            yield left.decode("utf-8", "replace")

    def wait(self) -> Exit:
        """Block until its end."""
        return self._containers.wait(self.id)

    def stop(self, *, timeout: int | None = None) -> bool:
        """False when it was not running. *timeout* in seconds before SIGKILL."""
        return self._containers.stop(self.id, timeout=timeout)

    def kill(self, signal: str | None = None) -> None:
        """Send it *signal* (SIGKILL unless told). Raises Conflict when it does not run."""
        self._containers.kill(self.id, signal)

    def remove(self, *, force: bool = False, volumes: bool = True) -> None:
        """Raises Conflict when it runs and not *force*."""
        self._containers.remove(self.id, force=force, volumes=volumes)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_exception: object) -> None:
        with contextlib.suppress(NoSuchContainer):
            self.remove(force=True)


def gather(attached: Attached, data: bytes) -> tuple[bytes, bytes]:
    """Send *data* as input while all output is read: (stdout, stderr)."""
    from labdock.client.conversation import Input, converse

    found: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
    converse(attached, lambda stream, part: found[stream].append(part), Input(data) if data else None)
    return b"".join(found["stdout"]), b"".join(found["stderr"])


def shown(command: Command | None) -> str:
    """The command as a person writes it."""
    return command if isinstance(command, str) else shlex.join(command or ()) or "the image's own program"
