"""Which engine to speak to, and starting labdock's own at first use."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from labdock.errors import EngineUnreachable, Unsupported
from labdock.schema.paths import locate

VARIABLES = ("LABDOCK_HOST", "DOCKER_HOST")
#: The context that is no entry of the store: the engine that the environment names, else labdock's own.
DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Tls:
    """The files of a TLS connection ("" for none), and whether the server must prove who it is."""

    ca: str = ""
    certificate: str = ""
    key: str = ""
    verify: bool = True


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an engine is: its address, the context that says so, and whether it is labdock's own (to be started)."""

    host: str
    context: str = DEFAULT
    own: bool = False
    tls: Tls | None = None


def own_socket(environment: Mapping[str, str]) -> Path:
    """Where labdock's own engine listens."""
    return locate(environment, os.getuid()).socket


def find_endpoint(environment: Mapping[str, str]) -> Endpoint:
    """The engine that is meant: LABDOCK_HOST, DOCKER_HOST, the context of DOCKER_CONTEXT or of ``context use``, else
    labdock's own. The order is Docker's.

    Raises NotFound for a context that is not there, InvalidRequest for a store that can't be read.
    """
    own = own_socket(environment)
    for variable in VARIABLES:
        if address := environment.get(variable):
            return Endpoint(address, DEFAULT, address == f"unix://{own}", _tls(environment))
    name = environment.get("DOCKER_CONTEXT") or _chosen(environment)
    if name in ("", DEFAULT):
        return Endpoint(f"unix://{own}", DEFAULT, True)
    from labdock.client.contexts import ContextStore

    return ContextStore(environment).endpoint(name, f"unix://{own}")


def config_folder(environment: Mapping[str, str]) -> Path:
    """Docker's folder of configuration: DOCKER_CONFIG, else ``~/.docker``."""
    return Path(
        environment.get("DOCKER_CONFIG") or Path(environment.get("HOME") or os.path.expanduser("~")) / ".docker"
    )


def _chosen(environment: Mapping[str, str]) -> str:
    """``currentContext`` of config.json; "" when none was chosen. A file that can't be read chooses none."""
    try:
        data = (config_folder(environment) / "config.json").read_bytes()
    except OSError:
        return ""
    if b'"currentContext"' not in data:
        return ""
    import msgspec

    try:
        document = msgspec.json.decode(data)
    except msgspec.MsgspecError:
        return ""  # Who needs what is in it says what is wrong with it.
    found = document.get("currentContext") if isinstance(document, dict) else None
    return found if isinstance(found, str) else ""


def _tls(environment: Mapping[str, str]) -> Tls | None:
    """What DOCKER_TLS_VERIFY, DOCKER_TLS and DOCKER_CERT_PATH (and the options that stand for them) ask for."""
    verify, asked = bool(environment.get("DOCKER_TLS_VERIFY")), bool(environment.get("DOCKER_TLS"))
    if not verify and not asked:
        return None
    folder = Path(environment.get("DOCKER_CERT_PATH") or config_folder(environment))

    def file(variable: str, name: str) -> str:
        given = environment.get(variable)
        return given or (str(folder / name) if (folder / name).exists() else "")

    return Tls(
        file("LABDOCK_TLS_CA", "ca.pem"),
        file("LABDOCK_TLS_CERT", "cert.pem"),
        file("LABDOCK_TLS_KEY", "key.pem"),
        verify,
    )


def find_socket(environment: Mapping[str, str]) -> tuple[Path, bool]:
    """The engine's socket, and whether it is labdock's own (which may be started).

    Unsupported for an engine that is not behind a unix socket of this machine.
    """
    found = find_endpoint(environment)
    if not found.host.startswith("unix://"):
        raise Unsupported(
            f"the engine at {found.host} is not behind a unix socket of this machine",
            hint="unset DOCKER_HOST, or `labdock context use default`, to use labdock's own engine",
        )
    return Path(found.host.removeprefix("unix://")), found.own


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
