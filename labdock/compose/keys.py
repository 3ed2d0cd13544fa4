"""Every key of a Compose file and what reads it (the Compose specification, services, networks, volumes …).

A key of the specification that labdock does not carry out is in ``UNSUPPORTED`` with the reason: an error, not silence.
"""

from __future__ import annotations

from typing import Any

from labdock.compose import short_forms as short
from labdock.compose.document import Block, Where
from labdock.compose.readers import (
    TAKES_NOTHING,
    Reader,
    choice,
    duration,
    each,
    fields,
    flag,
    integer,
    number,
    pairs,
    size,
    strings,
    table,
    text,
    words,
    wrong,
)

_TEXTS = each(text, one=True, unique=True)


def contexts(value: Any, where: Where) -> Block:
    """``{NAME: what}``: folders are made absolute, URLs and images stay."""
    found: Block = pairs(bare=False)(value, where)
    for key, what in found.items():
        at = found.at(key, where)
        if str(what).startswith("service:"):
            raise at.refuse("another service's image is no context here", hint="docker-image://NAME names an image")
        if "://" not in str(what) and not str(what).startswith("git@"):
            found[key] = short.path(what, at)
    return found


_BUILD = fields(
    {
        "context": short.path,
        "dockerfile": text,
        "dockerfile_inline": text,
        "args": pairs(),
        "target": text,
        "labels": strings,
        "cache_from": each(text),
        "cache_to": each(text),
        "additional_contexts": contexts,
        "secrets": each(short.grant),
        "ssh": pairs(),
        "network": text,
        "platforms": each(text),
        "pull": flag,
        "no_cache": flag,
        "tags": each(text, unique=True),
    }
)


def build(value: Any, where: Where) -> Block:
    """``{context, dockerfile?, args? …}``; a text is the context."""
    if not isinstance(value, Block):
        return short.block(where, context=short.path(value, where))
    found: Block = _BUILD(value, where)
    if "dockerfile" in found and "dockerfile_inline" in found:
        raise found.at("dockerfile_inline", where).refuse("'dockerfile' is given too: one of them")
    return found


def extends(value: Any, where: Where) -> Block:
    """``{service, file?}``."""
    if isinstance(value, Block):
        return fields({"service": text, "file": short.path}, ("service",))(value, where)  # type: ignore[no-any-return]
    return short.block(where, service=text(value, where))


_HEALTH = fields(
    {
        "test": short.health_test,
        "interval": duration,
        "timeout": duration,
        "start_period": duration,
        "start_interval": duration,
        "retries": integer,
        "disable": flag,
    }
)

_LIMITS = fields({"cpus": number, "memory": size, "pids": integer})
_DEPLOY = fields(
    {
        "mode": choice("replicated"),
        "replicas": integer,
        "labels": strings,
        "resources": fields({"limits": _LIMITS, "reservations": fields({"cpus": number, "memory": size})}),
        "restart_policy": fields(
            {
                "condition": choice("none", "on-failure", "any"),
                "delay": duration,
                "max_attempts": integer,
                "window": duration,
            }
        ),
    }
)


def device(value: Any, where: Where) -> str:
    """``SOURCE:TARGET:PERMISSIONS``."""
    if isinstance(value, Block):
        known = fields({"source": text, "target": text, "permissions": text}, ("source",))(value, where)
        return f"{known['source']}:{known.get('target', known['source'])}:{known.get('permissions', 'rwm')}"
    return text(value, where)


def scale(value: Any, where: Where) -> int:
    found = integer(value, where)
    if found < 0:
        raise wrong(value, where, "a number of 0 or more")
    return found


def capability(value: Any, where: Where) -> str:
    name = text(value, where).upper()
    return name if name == "ALL" or name.startswith("CAP_") else f"CAP_{name}"


SERVICE: dict[str, Reader] = {
    "annotations": strings,
    "attach": flag,
    "build": build,
    "cap_add": each(capability, unique=True),
    "cap_drop": each(capability, unique=True),
    "cgroup": choice("host", "private"),
    "command": words,
    "configs": each(short.grant),
    "container_name": text,
    "cpu_shares": integer,
    "cpus": number,
    "cpuset": text,
    "depends_on": short.dependencies,
    "deploy": _DEPLOY,
    "devices": each(device, unique=True),
    "dns": _TEXTS,
    "dns_opt": _TEXTS,
    "dns_search": _TEXTS,
    "domainname": text,
    "entrypoint": words,
    "env_file": each(short.env_file, one=True),
    "environment": pairs(),
    "expose": each(short.exposed, unique=True),
    "extends": extends,
    "extra_hosts": short.hosts,
    "group_add": _TEXTS,
    "healthcheck": _HEALTH,
    "hostname": text,
    "image": text,
    "init": flag,
    "ipc": text,
    "labels": strings,
    "links": each(text, unique=True),
    "logging": fields({"driver": text, "options": pairs()}),
    "mac_address": text,
    "mem_limit": size,
    "mem_reservation": size,
    "memswap_limit": size,
    "network_mode": text,
    "networks": short.memberships,
    "oom_score_adj": integer,
    "pid": text,
    "pids_limit": integer,
    "platform": text,
    "ports": each(short.port, unique=True),
    "privileged": flag,
    "profiles": each(text, unique=True),
    "pull_policy": choice("always", "never", "missing", "if_not_present", "build"),
    "read_only": flag,
    "restart": short.restart,
    "scale": scale,
    "secrets": each(short.grant),
    "security_opt": each(text, unique=True),
    "shm_size": size,
    "stdin_open": flag,
    "stop_grace_period": duration,
    "stop_signal": text,
    "sysctls": pairs(),
    "tmpfs": _TEXTS,
    "tty": flag,
    "ulimits": short.ulimits,
    "user": text,
    "userns_mode": text,
    "uts": text,
    "volumes": each(short.volume, unique=True),
    "volumes_from": each(text, unique=True),
    "working_dir": text,
}

#: What the specification knows and labdock does not do, with the reason.
UNSUPPORTED = {
    "blkio_config": "use `run` with its --device-* options",
    "credential_spec": "it is for Windows",
    "develop": "there is no watching of files yet",
    "external_links": "join the other container's network instead",
    "gpus": "name the device files in `devices`",
    "isolation": "it is for Windows",
    "label_file": "write the labels in `labels`",
    "post_start": "there are no hooks",
    "pre_stop": "there are no hooks",
    "provider": "there are no providers",
    "runtime": "there is one runtime, crun",
    "storage_opt": "no store of labdock has quotas",
    "use_api_socket": "mount the socket in `volumes`",
    "models": "there are no models",
}


def _unsupported(reason: str) -> Reader:
    def read(value: Any, where: Where) -> Any:
        raise where.refuse("this key is not supported", hint=reason)

    return read


_refusals = {key: _unsupported(reason) for key, reason in UNSUPPORTED.items()}
TAKES_NOTHING.update(_refusals.values())

SERVICE_FIELDS = fields(SERVICE | _refusals)


def external(value: Any, where: Where) -> Any:
    """True or False; the old form ``external: {name: X}`` is a mapping."""
    return fields({"name": text})(value, where) if isinstance(value, Block) else flag(value, where)


_POOL = fields({"subnet": text, "gateway": text, "ip_range": text, "aux_addresses": pairs()})
_DRIVEN: dict[str, Reader] = {
    "name": text,
    "external": external,
    "driver": text,
    "driver_opts": pairs(),
    "labels": strings,
}
_NETWORK = fields(
    _DRIVEN
    | {
        "attachable": flag,
        "internal": flag,
        "enable_ipv4": flag,
        "enable_ipv6": flag,
        "ipam": fields({"driver": text, "config": each(_POOL), "options": pairs()}),
    }
)
_SECRET = fields({"name": text, "external": external, "file": short.path, "environment": text, "labels": strings})
_CONFIG = fields(
    {
        "name": text,
        "external": external,
        "file": short.path,
        "environment": text,
        "content": text,
        "labels": strings,
    }
)


def _or_empty(reader: Reader) -> Reader:
    """A resource's name alone stands for one with the defaults."""

    def read(value: Any, where: Where) -> Block:
        found: Block = reader(Block(where.file, where.line) if value is None else value, where)
        if isinstance(outside := found.get("external"), Block):
            found["external"] = True
            found = found | ({"name": outside["name"]} if "name" in outside else {})
        for key in set(found) - {"name", "external", "labels"} if found.get("external") else ():
            raise found.at(key, where).refuse("what is external is not made here: only 'name' goes with it")
        return found

    return read


def some(reader: Reader) -> Reader:
    """A list of one or more."""

    def read(value: Any, where: Where) -> Any:
        found = reader(value, where)
        if not found:
            raise where.refuse("the list is empty")
        return found

    return read


def include(value: Any, where: Where) -> Block:
    """``{path: […], project_directory?, env_file?}``."""
    paths = some(each(short.path, one=True))
    if isinstance(value, Block):
        known: dict[str, Reader] = {"path": paths, "project_directory": short.path, "env_file": paths}
        return fields(known, ("path",))(value, where)  # type: ignore[no-any-return]
    return short.block(where, path=paths(value, where))


def project_name(value: Any, where: Where) -> str:
    import re

    found = text(value, where)
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", found):
        raise where.refuse(
            f"{found!r} is no project name",
            hint="lower-case letters, digits, '-' and '_', beginning with a letter or digit",
        )
    return found


FILE = fields(
    {
        "version": text,
        "name": project_name,
        "include": each(include),
        "services": table(SERVICE_FIELDS, "service name", empty=True),
        "networks": table(_or_empty(_NETWORK), "network name", empty=True),
        "volumes": table(_or_empty(fields(_DRIVEN)), "volume name", empty=True),
        "secrets": table(_or_empty(_SECRET), "secret name", empty=True),
        "configs": table(_or_empty(_CONFIG), "config name", empty=True),
    }
)
