"""Which engine to speak to, and starting labdock's own at first use."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from labdock.errors import EngineUnreachable, Unsupported
from labdock.schema.paths import locate

VARIABLES = ("LABDOCK_HOST", "DOCKER_HOST")


def own_socket(environment: Mapping[str, str]) -> Path:
    """Where labdock's own engine listens."""
    return locate(environment, os.getuid()).socket


def find_socket(environment: Mapping[str, str]) -> tuple[Path, bool]:
    """The engine's socket, and whether it is labdock's own (which may be started).

    LABDOCK_HOST, then DOCKER_HOST name another one; Unsupported for what is no ``unix://`` address.
    """
    own = own_socket(environment)
    for variable in VARIABLES:
        address = environment.get(variable)
        if address:
            if not address.startswith("unix://"):
                raise Unsupported(
                    f"{variable}={address}: labdock speaks to unix sockets only, as yet",
                    hint=f"unset {variable} to use labdock's own engine, or give unix:///path/to/docker.sock",
                )
            path = Path(address.removeprefix("unix://"))
            return path, path == own
    return own, True


def start(environment: Mapping[str, str] | None = None) -> Path:
    """Start labdock's own engine and wait until it answers; the socket's path. Does nothing when it runs.

    Raises EngineUnreachable with the engine's own diagnosis.
    """
    import subprocess
    import sys

    # cwd: the engine must not keep a folder busy; sys.path: an import from the folder would be a surprise.
    done = subprocess.run(
        [sys.executable, "-m", "labdock.daemon.start"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        env=None if environment is None else dict(environment),
        check=False,
    )
    if done.returncode != 0:
        raise diagnosis(done.stderr, done.returncode)
    return Path(done.stdout.strip().splitlines()[-1]) if done.stdout.strip() else own_socket(environment or os.environ)


def diagnosis(text: str, code: int) -> EngineUnreachable:
    """The error that a failed start printed: a message, a blank line, ``hint: …``."""
    message, _, rest = text.strip().partition("\nhint: ")
    if not message.strip():
        message = f"the engine's start ended with {code} and said nothing"
    hint = rest.strip() or "`labdock doctor` shows what this machine allows, `labdock engine logs` the engine's log"
    return EngineUnreachable(message.strip(), hint=hint)
