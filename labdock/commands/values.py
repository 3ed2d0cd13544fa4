"""What option texts mean: ports, volumes, sizes, environments, limits. Pure but for reading files they name.

Docker's own rules (docker/cli ``cli/command/container/opts.go``, ``opts/``, docker/go-connections ``nat``).
Every function raises InvalidRequest saying what is wrong with which text.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Mapping

from labdock.errors import InvalidRequest
from labdock.schema.container import DeviceMapping, PortBinding, RestartPolicy, Ulimit

_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([bkmgtp]?)(?:i?b)?\Z", re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_NANOSECONDS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


def size(text: str) -> int:
    """Bytes from ``512m``, ``1.5g``, ``100`` (powers of 1024)."""
    from fractions import Fraction

    found = _SIZE.match(text.strip())
    if not found:
        raise InvalidRequest(f"invalid size: '{text}'", hint="a number with b, k, m, g or t, such as 512m")
    return int(Fraction(found[1]) * 1024 ** "bkmgtp".index(found[2].lower() or "b"))


def cpus(text: str) -> int:
    """Nanocpus from ``1.5``."""
    from fractions import Fraction

    try:
        amount = Fraction(text) * 10**9
    except (ValueError, ZeroDivisionError):
        raise InvalidRequest(f"failed to parse {text} as a rational number") from None
    if amount.denominator != 1:
        raise InvalidRequest(f"value is too precise: {text}")
    return int(amount)


def duration(text: str) -> int:
    """Nanoseconds from Go's ``1h30m``, ``1.5s``."""
    from fractions import Fraction

    if text == "0":
        return 0
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise InvalidRequest(f'time: invalid duration "{text}"', hint="a number and a unit: 300ms, 5s, 1m30s, 2h")
    return int(
        sum(Fraction(number.strip(".") if number != "." else "0") * _NANOSECONDS[unit] for number, unit in parts)
    )


def key_values(texts: Iterable[str]) -> dict[str, str]:
    """``{"a": "1", "b": ""}`` from ``a=1``, ``b``."""
    found = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not name:
            raise InvalidRequest(f"invalid label or option: '{text}': there is no name before the =")
        found[name] = value
    return found


def read_lines(path: str, what: str) -> list[str]:
    """A file's lines without comments and empty ones."""
    try:
        with open(os.path.expanduser(path), encoding="utf-8-sig") as source:
            lines = source.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InvalidRequest(
            f"open {path}: {reason}", hint=f"{what} names a file with one NAME=VALUE a line"
        ) from error
    return [line.lstrip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def environment(texts: Iterable[str], files: Iterable[str], known: Mapping[str, str]) -> tuple[str, ...]:
    """``-e`` and ``--env-file``: a name without a value takes *known*'s; files first, so that ``-e`` wins."""
    found: list[str] = []
    for path in files:
        for line in read_lines(path, "--env-file"):
            name, given, _ = line.partition("=")
            if not name or any(char.isspace() for char in name):
                raise InvalidRequest(f"invalid env file ({path}): variable '{name}' contains whitespaces or is empty")
            if given:
                found.append(line)
            elif name in known:
                found.append(f"{name}={known[name]}")
    for text in texts:
        name, given, _ = text.partition("=")
        if not name:
            raise InvalidRequest(f"invalid environment variable: {text}", hint="-e NAME=VALUE, or -e NAME")
        found.append(text if given or name not in known else f"{name}={known[name]}")
    return tuple(found)


def _port_range(text: str, whole: str, what: str) -> range:
    first, dash, last = text.partition("-")
    try:
        start, end = int(first), int(last) if dash else int(first)
    except ValueError:
        raise InvalidRequest(f"invalid {what}: {text or whole}", hint="-p HOST:CONTAINER, such as -p 8080:80") from None
    if not (0 <= start <= end <= 65535):
        raise InvalidRequest(f"invalid {what}: {text}", hint="ports are 1 to 65535, ranges go up")
    return range(start, end + 1)


def ports(texts: Iterable[str]) -> dict[str, tuple[PortBinding, ...]]:
    """``{"80/tcp": (PortBinding,)}`` from ``8080:80``, ``127.0.0.1::80/udp``, ``8000-8002:80-82``, ``[::1]:80:80``."""
    found: dict[str, list[PortBinding]] = {}
    for text in texts:
        rest, _, protocol = text.partition("/")
        protocol = (protocol or "tcp").lower()
        if protocol not in ("tcp", "udp", "sctp"):
            raise InvalidRequest(f"invalid proto: {protocol}", hint="tcp, udp or sctp")
        before, _, inner_text = rest.rpartition(":")
        ip, colon, outer_text = before.rpartition(":")
        if not colon:
            ip, outer_text = "", before
        ip = ip.removeprefix("[").removesuffix("]")
        if not inner_text:
            raise InvalidRequest(f"no port specified: {text}<empty>", hint="-p HOST:CONTAINER, such as -p 8080:80")
        inner = _port_range(inner_text, text, "containerPort")
        outer = _port_range(outer_text, text, "hostPort") if outer_text else None
        if outer is not None and len(outer) != len(inner) and len(inner) != 1:
            raise InvalidRequest(
                f"invalid ranges specified for container and host Ports: {inner_text} and {outer_text}"
            )
        for index, port in enumerate(inner):
            host = ""
            if outer is not None:
                host = str(outer[index]) if len(outer) == len(inner) else outer_text
            found.setdefault(f"{port}/{protocol}", []).append(PortBinding(host_ip=ip, host_port=host))
    return {port: tuple(bindings) for port, bindings in found.items()}


def exposed(texts: Iterable[str]) -> dict[str, dict[str, str]]:
    """``{"80/tcp": {}}`` from ``80``, ``7000-7002/udp``."""
    found: dict[str, dict[str, str]] = {}
    for text in texts:
        if ":" in text:
            raise InvalidRequest(
                f"invalid port format for --expose: {text}", hint="--expose takes container ports only"
            )
        numbers, _, protocol = text.partition("/")
        for port in _port_range(numbers, text, "port"):
            found[f"{port}/{(protocol or 'tcp').lower()}"] = {}
    return found


def volumes(texts: Iterable[str]) -> tuple[tuple[str, ...], dict[str, dict[str, str]]]:
    """``-v``: (binds, anonymous volumes). A host path that starts with a dot or ``~`` becomes absolute."""
    binds: list[str] = []
    anonymous: dict[str, dict[str, str]] = {}
    for text in texts:
        source, colon, target = text.partition(":")
        if not text or (colon and (not source or not target)):
            raise InvalidRequest(f"invalid volume specification: '{text}'", hint="-v HOST-OR-NAME:CONTAINER[:ro]")
        if not colon:
            if not text.startswith("/") or posixpath.normpath(text) == "/":
                raise InvalidRequest(
                    f"invalid volume specification: '{text}': the path in the container must be absolute and not /"
                )
            anonymous[text] = {}
        elif source.startswith((".", "~")):
            binds.append(f"{os.path.abspath(os.path.expanduser(source))}:{target}")
        else:
            binds.append(text)
    return tuple(binds), anonymous


def tmpfs(texts: Iterable[str]) -> dict[str, str]:
    """``{"/run": "size=64m"}`` from ``/run:size=64m``."""
    return {path: options for path, _, options in (text.partition(":") for text in texts)}


def ulimit(text: str) -> Ulimit:
    """``nofile=1024:2048``, ``core=-1``."""
    name, given, value = text.partition("=")
    soft, two, hard = value.partition(":")
    try:
        if not given or not name:
            raise ValueError
        limit = Ulimit(name=name, soft=int(soft), hard=int(hard) if two else int(soft))
    except ValueError:
        raise InvalidRequest(f"invalid ulimit argument: {text}", hint="--ulimit NAME=SOFT[:HARD]") from None
    if limit.hard != -1 and (limit.soft > limit.hard or limit.soft == -1):
        raise InvalidRequest(f"ulimit soft limit must be less than or equal to hard limit: {limit.soft} > {limit.hard}")
    return limit


def restart(text: str) -> RestartPolicy:
    """``no``, ``always``, ``unless-stopped``, ``on-failure[:TIMES]``."""
    name, colon, count = text.partition(":")
    if name not in ("no", "always", "unless-stopped", "on-failure"):
        raise InvalidRequest(
            f"invalid restart policy '{text}'", hint="no, always, unless-stopped or on-failure[:TIMES]"
        )
    if colon and (name != "on-failure" or not count.isdecimal()):
        raise InvalidRequest(
            "invalid restart policy format: maximum retry count must be an integer and only with on-failure"
        )
    return RestartPolicy(name=name, maximum_retry_count=int(count or 0))


def device(text: str) -> DeviceMapping:
    """``/dev/fuse``, ``/dev/sda:/dev/xvdc:r``."""
    source, _, rest = text.partition(":")
    target, _, permissions = rest.partition(":")
    if target and not target.startswith("/") and not permissions:
        target, permissions = "", target
    return DeviceMapping(
        path_on_host=source, path_in_container=target or source, cgroup_permissions=permissions or "rwm"
    )


def extra_host(text: str) -> str:
    """``NAME:IP`` from ``NAME:IP`` or ``NAME=IP``."""
    found = re.match(r"([^:=]+)[:=](.+)", text)
    if not found:
        raise InvalidRequest(f'bad format for add-host: "{text}"', hint="--add-host NAME:IP")
    return f"{found[1]}:{found[2].removeprefix('[').removesuffix(']')}"


def capability(text: str) -> str:
    """``CAP_NET_ADMIN`` from ``net_admin``; ``ALL`` stays."""
    name = text.strip().upper()
    return name if name == "ALL" or name.startswith("CAP_") else f"CAP_{name}"
