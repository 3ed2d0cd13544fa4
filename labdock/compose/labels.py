"""The labels by which Compose knows its things again: docker-compose 1.29's and Compose v2's own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labdock.compose.document import Block
    from labdock.compose.loading import Project

PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
VERSION = "com.docker.compose.version"
ONE_OFF = "com.docker.compose.oneoff"
NUMBER = "com.docker.compose.container-number"
CONFIG_HASH = "com.docker.compose.config-hash"
WORKING_DIR = "com.docker.compose.project.working_dir"
CONFIG_FILES = "com.docker.compose.project.config_files"
IMAGE = "com.docker.compose.image"
NETWORK = "com.docker.compose.network"
VOLUME = "com.docker.compose.volume"
SLUG = "com.docker.compose.slug"
DEPENDS_ON = "com.docker.compose.depends_on"

#: The version of Compose that is spoken here: what 1.29 reads it as a number of.
SPOKEN = "2.40.0"
#: What changes without the container having to.
_OUTSIDE = {"attach", "build", "pull_policy", "scale", "depends_on", "profiles"}


def config_hash(service: Block, project: Project) -> str:
    """A digest of all that makes a container of *service* what it is, contents of secrets and configs too."""
    known: dict[str, Any] = {key: value for key, value in service.items() if key not in _OUTSIDE}
    if "deploy" in known:
        known["deploy"] = {key: value for key, value in known["deploy"].items() if key != "replicas"}
    for kind in ("secrets", "configs"):
        known[f"{kind}:of"] = [dict(getattr(project, kind)[item["source"]]) for item in service.get(kind, ())]
    known["names"] = [project.networks[name]["name"] for name in service.get("networks", ())]
    known["environment:of"] = [
        project.environment.get(str(source.get("environment")), "")
        for kind in ("secrets:of", "configs:of")
        for source in known[f"{kind}"]
        if source.get("environment")
    ]
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def of_container(
    service: str, number: int, project: Project, *, image: str, digest: str, one_off: bool = False
) -> dict[str, str]:
    found = {
        PROJECT: project.name,
        SERVICE: service,
        VERSION: SPOKEN,
        ONE_OFF: str(one_off),
        NUMBER: str(number),
        CONFIG_HASH: digest,
        WORKING_DIR: str(project.folder),
        CONFIG_FILES: ",".join(project.files),
        DEPENDS_ON: needs_text(project.services.get(service, {})),
    }
    return found | ({IMAGE: image} if image else {})


def needs_text(service: Mapping[str, Any]) -> str:
    """``db:service_healthy:false,…``: the service, the condition, restart (Compose v2's)."""
    return ",".join(
        f"{other}:{how['condition']}:{str(how.get('restart', False)).lower()}"
        for other, how in sorted(service.get("depends_on", {}).items())
    )


def of_thing(kind: str, name: str, project: Project) -> dict[str, str]:
    """Of a network or volume (*kind* is its label)."""
    return {PROJECT: project.name, VERSION: SPOKEN, kind: name}
