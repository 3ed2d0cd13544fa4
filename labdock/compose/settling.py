"""The last pass over merged files: profiles, names, environments, and references that must lead somewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from labdock.compose import environment as env_files
from labdock.compose.document import Block, ComposeError, Where
from labdock.compose.plan import order
from labdock.compose.readers import near
from labdock.errors import InvalidRequest

if TYPE_CHECKING:
    from labdock.compose.loading import Project, Request


def settle(merged: Block, request: Request, project: Project) -> Project:
    """*project* filled from *merged*. Raises ComposeError, InvalidRequest for a cycle."""
    services: Block = merged.get("services") or Block()
    if not services:
        raise Where(merged.file or (project.files or ("the cell",))[0], merged.line or 1).refuse("no services defined")
    active = _active(services, request)
    for name, service in services.items():
        where = services.at(name, Where("", 0, ("services",)))
        _check(name, service, merged, where)
        service = _resolved(service, project, where)
        (project.services if name in active else project.disabled)[name] = service
    for name, service in project.services.items():
        _check_needs(service, project, services.at(name, Where("", 0, ("services",))))
    _resources(merged, project)
    try:
        order(project.needs())
    except InvalidRequest as error:
        name = error.message.rpartition(" -> ")[2]
        raise services.at(name, Where("", 0, ("services",))).refuse(error.message) from error
    return project


def _active(services: Block, request: Request) -> set[str]:
    """The services whose profiles are active; the ones named, and what those need, whatever their profiles."""
    from labdock.compose.loading import needs_of

    profiles = set(request.profiles)
    for name in request.named:
        profiles |= set(services.get(name, {}).get("profiles", ()))
    active = {
        name
        for name, service in services.items()
        if not service.get("profiles") or "*" in profiles or profiles & set(service["profiles"])
    }
    todo = [name for name in request.named if name in services]
    while todo:
        name = todo.pop()
        active.add(name)
        todo += [other for other in needs_of(services[name], services) if other not in active]
    return active


def _check(name: str, service: Block, merged: Block, where: Where) -> None:
    if "image" not in service and "build" not in service:
        raise where.refuse("neither 'image' nor 'build' is given", hint="image: NAME, or build: FOLDER")
    if "networks" in service and "network_mode" in service:
        raise service.at("network_mode", where).refuse("it can't go with 'networks': one of them")
    copies = scale_of(service)
    if copies > 1 and "container_name" in service:
        raise service.at("container_name", where).refuse(f"{copies} containers can't have one name: leave it out")
    networks = merged.get("networks", {})
    for network in service.get("networks", ()):
        if network != "default" and network not in networks:
            at = service["networks"].at(network, service.at("networks", where))
            raise at.refuse(f"there is no network {network!r}", hint=_define("networks", network, networks))
    _check_listed("volumes", service, merged, where)
    for kind in ("secrets", "configs"):
        _check_listed(kind, service, merged, where)
    if "build" in service:
        _check_listed("secrets", service["build"], merged, service.at("build", where))


def _check_listed(kind: str, service: Block, merged: Block, where: Where) -> None:
    known = merged.get(kind, {})
    for index, item in enumerate(service.get(kind, ())):
        if kind == "volumes" and (item["type"] != "volume" or not item.get("source")):
            continue
        if item["source"] not in known:
            listed = service.at(kind, where)
            at = Where(item.file or listed.file, item.line or listed.line, (*listed.keys, f"[{index}]"))
            what = kind.removesuffix("s")
            raise at.refuse(f"there is no {what} {item['source']!r}", hint=_define(kind, item["source"], known))
        if service.get("read_only") and kind != "volumes" and "file" not in (known[item["source"]] or {}):
            what = kind.removesuffix("s")
            raise service.at(kind, where).refuse(
                f"cannot create {what} {item['source']!r} in read-only service {where.keys[-1]}: "
                "`file` is the sole supported option"
            )


def _define(kind: str, name: str, known: Any) -> str:
    return near(name, known) or f"define it at the top: {kind}: {{{name}: }}"


def _check_needs(service: Block, project: Project, where: Where) -> None:
    everything = project.services | project.disabled
    needs: Block = service.get("depends_on") or Block()
    for other in list(needs):
        if other in project.services:
            continue
        if not needs[other].get("required", True):
            del needs[other]
            continue
        at = needs.at(other, service.at("depends_on", where))
        if other in everything:
            raise at.refuse(
                f"{other!r} is not enabled", hint=f"--profile {(everything[other].get('profiles') or ['NAME'])[0]}"
            )
        raise at.refuse(f"there is no service {other!r}", hint=near(other, everything))
    for key in ("network_mode", "pid", "ipc"):
        kind, _, other = str(service.get(key, "")).partition(":")
        if kind == "service" and other not in project.services:
            raise service.at(key, where).refuse(f"there is no service {other!r}", hint=near(other, everything))


def scale_of(service: Block) -> int:
    """How many containers the files ask for."""
    return int(service.get("scale", service.get("deploy", {}).get("replicas", 1)))


def _resolved(service: Block, project: Project, where: Where) -> Block:
    """*service* with its environment whole and, where it says none, the default network."""
    found = service | {}
    variables: dict[str, str | None] = {}
    for entry in service.get("env_file", ()):
        path = Path(entry["path"])
        if not path.exists():
            if not entry.get("required", True):
                continue
            raise service.at("env_file", where).refuse(f"env file {path} not found")
        try:
            variables |= env_files.read(path, project.environment)
        except ComposeError:
            raise  # It names the place in that file.
        except InvalidRequest as error:
            raise service.at("env_file", where).refuse(error.message) from error
    variables |= service.get("environment", {})
    for name, value in list(variables.items()):
        if value is None and name in project.environment:
            variables[name] = project.environment[name]
    found.pop("env_file", None)
    found.pop("environment", None)
    if variables:
        found["environment"] = variables
    if "networks" not in found and "network_mode" not in found:
        found["networks"] = Block()
        found["networks"]["default"] = Block()
    return found


def _resources(merged: Block, project: Project) -> None:
    """Networks that something is in, volumes, secrets and configs, with their real names."""
    used = {network for service in project.services.values() for network in service.get("networks", ())}
    for kind in ("networks", "volumes", "secrets", "configs"):
        known: Block = merged.get(kind) or Block()
        if kind == "networks" and "default" in used and "default" not in known:
            known = known | {"default": Block()}
        for name, value in known.items():
            if kind == "networks" and name not in used:
                continue
            _check_source(kind, value, known.at(name, Where("", 0, (kind,))))
            default = name if value.get("external") else f"{project.name}_{name}"
            getattr(project, kind)[name] = Block(value.file, value.line) | {"name": default} | value


def _check_source(kind: str, value: Block, where: Where) -> None:
    if kind not in ("secrets", "configs"):
        return
    sources = [key for key in ("file", "environment", "content", "external") if value.get(key) is not None]
    if len(sources) != 1:
        words = "'file', 'environment'" + (", 'content'" if kind == "configs" else "")
        raise where.refuse(f"one of {words} says what is in it" + (f", not {', '.join(sources)}" if sources else ""))
    if sources == ["external"]:
        raise where.refuse("external ones need a swarm, which labdock is not", hint="file: or environment:")
