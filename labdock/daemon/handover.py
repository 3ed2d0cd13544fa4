"""What the engine process is given: descriptors at fixed numbers, and one variable of its environment."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from labdock.host.plan import Plan
from labdock.schema.paths import Paths

#: The listening API socket, and the engine's end of the channel to outer.
API_FD = 3
CHANNEL_FD = 4

ENGINE = (sys.executable, "-P", "-m", "labdock.daemon.engine")

_VARIABLE = "LABDOCK_HANDOVER"

#: What the engine's environment keeps of the first caller's, by name and by prefix. The engine outlives that
#: caller and serves others: tokens and keys which happen to be exported there are none of its business.
_KEPT = frozenset(
    "PATH HOME USER LOGNAME LANG LANGUAGE TZ TERM XDG_CONFIG_HOME XDG_DATA_HOME XDG_RUNTIME_DIR SOURCE_DATE_EPOCH "
    "SSL_CERT_FILE SSL_CERT_DIR HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy PYTHONPATH "
    "PYTHONDONTWRITEBYTECODE PYTHONPYCACHEPREFIX PYTHONWARNINGS".split()
)
_KEPT_PREFIXES = ("LABDOCK_", "LC_")


@dataclass(frozen=True, slots=True)
class Handover:
    plan: Plan
    paths: Paths


def compose_environment(caller: Mapping[str, str], handover: Handover) -> dict[str, str]:
    """The engine's environment: what is kept of *caller*'s, the handover, a place for temporary files on disk."""
    kept = {name: value for name, value in caller.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}
    value = {"plan": handover.plan.to_json(), "data": str(handover.paths.data), "run": str(handover.paths.run)}
    kept[_VARIABLE] = json.dumps(value)
    kept["TMPDIR"] = str(temporary_folder(handover.paths))
    home = Path(__file__).parents[2]
    if home.name not in ("site-packages", "dist-packages"):
        # A source tree that is not installed, or is installed by reference: the engine runs the caller's code.
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, (str(home), caller.get("PYTHONPATH", ""))))
    return kept


def receive(environment: MutableMapping[str, str]) -> Handover:
    """Take the handover out of *environment*, so that no child sees it. Raises KeyError outside of the sandbox."""
    value = json.loads(environment.pop(_VARIABLE))
    return Handover(Plan.from_json(value["plan"]), Paths(Path(value["data"]), Path(value["run"])))


def temporary_folder(paths: Paths) -> Path:
    """Emptied whenever the sandbox begins or ends."""
    return paths.data / "tmp"
