"""Short forms of ports, volumes, secrets and the rest, as the long ones that everything after works with."""

from __future__ import annotations

import os
import posixpath
import re
from typing import Any

from labdock.compose.document import Block, Where
from labdock.compose.readers import Several, choice, each, fields, flag, integer, pairs, size, text, words, wrong

_PROTOCOLS = ("tcp", "udp", "sctp")
_OPTIONS = {"ro", "rw", "z", "Z", "nocopy", "cached", "delegated", "consistent"}
_PROPAGATION = {"shared", "rshared", "slave", "rslave", "private", "rprivate"}


def path(value: Any, where: Where) -> str:
    """A path on this machine, absolute: relative ones start at the project's folder."""
    found = os.path.expanduser(text(value, where))
    return os.path.normpath(os.path.join(where.base, found))


def block(where: Where, **members: Any) -> Block:
    """A long form made of a short one: every member is where the short form is."""
    found = Block(where.file, where.line)
    for key, value in members.items():
        if value is not None:
            found.put(key, value, (where.file, where.line))
    return found


def _numbers(part: str, whole: str, where: Where) -> range:
    first, dash, last = part.partition("-")
    if not (first.isdecimal() and (last.isdecimal() or not dash)):
        raise where.refuse(f"invalid port {whole!r}", hint='"8080:80", "127.0.0.1:8080:80/udp", "8000-8002:80-82"')
    start, end = int(first), int(last or first)
    if not 0 < start <= end <= 65535:
        raise where.refuse(f"invalid port {whole!r}: ports are 1 to 65535, ranges go up")
    return range(start, end + 1)


_LONG_PORT = fields(
    {
        "target": integer,
        "published": text,
        "host_ip": text,
        "protocol": choice(*_PROTOCOLS),
        "mode": choice("host", "ingress"),
        "name": text,
        "app_protocol": text,
    },
    ("target",),
)


def port(value: Any, where: Where) -> Any:
    """``{mode, target, published?, host_ip?, protocol}`` of each port."""
    if isinstance(value, Block):
        found = _LONG_PORT(value, where)
        return block(where, mode="ingress", protocol="tcp") | found
    line = text(value, where)
    rest, slash, protocol = line.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if protocol not in _PROTOCOLS:
        raise where.refuse(f"invalid port {line!r}: {protocol!r} is none of {', '.join(_PROTOCOLS)}")
    before, _, inner_text = rest.rpartition(":")
    ip, colon, outer_text = before.rpartition(":")
    if not colon:
        ip, outer_text = "", before
    inner = _numbers(inner_text, line, where)
    outer = _numbers(outer_text, line, where) if outer_text else None
    if outer is not None and len(outer) != len(inner) and len(inner) != 1:
        raise where.refuse(f"invalid port {line!r}: the two ranges differ in length")
    ports = Several()
    for index, target in enumerate(inner):
        published = None
        if outer is not None:
            published = str(outer[index]) if len(outer) == len(inner) else outer_text
        host = ip.strip("[]") or None
        ports.append(block(where, mode="ingress", host_ip=host, target=target, published=published, protocol=protocol))
    return ports


_LONG_VOLUME = fields(
    {
        "type": choice("bind", "volume", "tmpfs"),
        "source": text,
        "target": text,
        "read_only": flag,
        "consistency": text,
        "bind": fields(
            {"propagation": choice(*sorted(_PROPAGATION)), "create_host_path": flag, "selinux": choice("z", "Z")}
        ),
        "volume": fields({"nocopy": flag, "subpath": text}),
        "tmpfs": fields({"size": size, "mode": integer}),
    },
    ("type", "target"),
)


def volume(value: Any, where: Where) -> Block:
    """``{type, source?, target, read_only?, bind? | volume? | tmpfs?}``."""
    if isinstance(value, Block):
        long: Block = _LONG_VOLUME(value, where)
        if long["type"] == "bind":
            if "source" not in long:
                raise where.refuse("'source' is missing")
            long["source"] = path(long["source"], where)
        return long
    line = text(value, where)
    parts = line.split(":")
    if len(parts) > 3 or not all(parts):
        raise where.refuse(f"invalid volume {line!r}", hint="NAME-OR-PATH:/PATH-INSIDE[:ro]")
    source, target = (None, parts[0]) if len(parts) == 1 else (parts[0], parts[1])
    if not target.startswith("/"):
        raise where.refuse(f"invalid volume {line!r}: the path inside must be absolute")
    options = parts[2].split(",") if len(parts) == 3 else []
    for option in options:
        if option not in _OPTIONS | _PROPAGATION:
            raise where.refuse(f"invalid volume {line!r}: unknown option {option!r}")
    kind = "bind" if source and source.startswith((".", "/", "~")) else "volume"
    found = block(where, type=kind, source=path(source, where) if kind == "bind" else source)
    found = found | block(where, target=posixpath.normpath(target), read_only=True if "ro" in options else None)
    if kind == "bind":
        propagation = next((option for option in options if option in _PROPAGATION), None)
        selinux = next((option for option in options if option in ("z", "Z")), None)
        found = found | block(where, bind=block(where, create_host_path=True, propagation=propagation, selinux=selinux))
    elif "nocopy" in options:
        found = found | block(where, volume=block(where, nocopy=True))
    return found


_LONG_GRANT = fields({"source": text, "target": text, "uid": text, "gid": text, "mode": integer}, ("source",))


def grant(value: Any, where: Where) -> Block:
    """A service's secret or config: ``{source, target?, uid?, gid?, mode?}``."""
    found: Block = _LONG_GRANT(value, where) if isinstance(value, Block) else block(where, source=text(value, where))
    return found


_CONDITIONS = ("service_started", "service_healthy", "service_completed_successfully")
_DEPENDENCY = fields({"condition": choice(*_CONDITIONS), "restart": flag, "required": flag})


def dependencies(value: Any, where: Where) -> Block:
    """``{SERVICE: {condition, required, restart?}}``."""
    found = Block(where.file, where.line)
    if isinstance(value, Block):
        for name, inner in value.items():
            at = value.at(name, where)
            made = _DEPENDENCY(Block() if inner is None else inner, at)
            found.put(name, block(at, condition="service_started", required=True) | made, (at.file, at.line))
        return found
    for name in each(text, one=True)(value, where):
        long = block(where, condition="service_started", required=True)
        found.put(name, long, (where.file, where.line))
    return found


_MEMBERSHIP = fields(
    {
        "aliases": each(text, unique=True),
        "ipv4_address": text,
        "ipv6_address": text,
        "link_local_ips": each(text),
        "mac_address": text,
        "driver_opts": pairs(),
        "priority": integer,
        "gw_priority": integer,
    }
)


def memberships(value: Any, where: Where) -> Block:
    """``{NETWORK: {aliases?, ipv4_address?, …}}``."""
    found = Block(where.file, where.line)
    if isinstance(value, Block):
        for name, inner in value.items():
            at = value.at(name, where)
            found.put(name, Block() if inner is None else _MEMBERSHIP(inner, at), (at.file, at.line))
        return found
    for index, name in enumerate(each(text)(value, where)):
        found.put(name, Block(), (where.file, getattr(value, "lines", {index: where.line})[index]))
    return found


_ENV_FILE = fields({"path": path, "required": flag, "format": choice("raw")}, ("path",))


def env_file(value: Any, where: Where) -> Block:
    """``{path, required}``."""
    if isinstance(value, Block):
        known: Block = _ENV_FILE(value, where)
        return block(where, required=True) | known
    return block(where, path=path(value, where), required=True)


def ulimits(value: Any, where: Where) -> Block:
    """``{NAME: {soft, hard}}``."""
    if not isinstance(value, Block):
        raise wrong(value, where, "a mapping")
    found = Block(where.file, where.line)
    for name, inner in value.items():
        at = value.at(name, where)
        if isinstance(inner, Block):
            made = fields({"soft": integer, "hard": integer}, ("soft", "hard"))(inner, at)
        else:
            made = block(at, soft=integer(inner, at), hard=integer(inner, at))
        found.put(name, made, (at.file, at.line))
    return found


def health_test(value: Any, where: Where) -> list[str]:
    if isinstance(value, list):
        found = words(value, where) or []
        if not found or found[0] not in ("NONE", "CMD", "CMD-SHELL"):
            raise where.refuse("the list begins with NONE, CMD or CMD-SHELL", hint='["CMD", "wget", "-q", "localhost"]')
        return found
    return ["CMD-SHELL", text(value, where)]


def restart(value: Any, where: Where) -> str:
    found = "no" if value is False else text(value, where)
    if not re.fullmatch(r"no|always|unless-stopped|on-failure(:\d+)?", found):
        raise where.refuse(f"{found!r} is none of no, always, unless-stopped, on-failure[:TIMES]")
    return found


def hosts(value: Any, where: Where) -> list[str]:
    """``NAME=IP`` lines."""
    found: list[str] = []
    if isinstance(value, Block):
        for name, inner in value.items():
            at = value.at(name, where)
            found += [f"{name}={ip}" for ip in each(text, one=True)(inner, at)]
        return found
    for line in each(text)(value, where):
        parts = re.match(r"([^:=]+)[:=](.+)", line)
        if not parts:
            raise wrong(line, where, "NAME=IP")
        found.append(f"{parts[1]}={parts[2].strip('[]')}")
    return found


def exposed(value: Any, where: Where) -> Several:
    line = text(value, where)
    numbers, slash, protocol = line.partition("/")
    if slash and protocol not in _PROTOCOLS:
        raise where.refuse(f"invalid port {line!r}: {protocol!r} is none of {', '.join(_PROTOCOLS)}")
    return Several(f"{number}/{protocol or 'tcp'}" for number in _numbers(numbers, line, where))
