"""A project as its containers tell it: what a project's name alone is enough for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from labdock.compose import labels
from labdock.compose.document import Block
from labdock.compose.loading import Project

if TYPE_CHECKING:
    from labdock.client import Client

_CONDITIONS = ("service_started", "service_healthy", "service_completed_successfully")


def discover(client: Client, name: str) -> Project:
    """The project *name* by its containers' labels; without services when it has none."""
    found = client.containers.list(all=True, filters={"label": [f"{labels.PROJECT}={name}"]})
    project = Project(name, Path.cwd(), (), {}, {}, {}, {}, {})
    needs: dict[str, str] = {}
    for each in found:
        service = each.labels.get(labels.SERVICE)
        if not service or each.labels.get(labels.ONE_OFF) == "True":
            continue
        known = Block()
        if each.image != f"{name}-{service}":  # Else it was built, without another name.
            known["image"] = each.image
        project.services[service] = known
        needs[service] = each.labels.get(labels.DEPENDS_ON, "")
        project.folder = Path(each.labels.get(labels.WORKING_DIR) or project.folder)
        project.files = tuple(filter(None, each.labels.get(labels.CONFIG_FILES, "").split(",")))
    for service, text in needs.items():
        project.services[service]["depends_on"] = read_needs(text, project.services)
    return project


def read_needs(text: str, known: dict[str, Block]) -> Block:
    """``depends_on`` out of its label: ``db:service_healthy:true,…`` (the service, the condition, restart)."""
    found = Block()
    for part in filter(None, text.split(",")):
        other, condition, restart = (*part.split(":"), "", "")[:3]
        if other in known:
            how = Block()
            how["condition"] = condition if condition in _CONDITIONS else "service_started"
            how["restart"] = restart == "true"
            found[other] = how
    return found
