"""Legacy links (``--link``) on the default network: names in /etc/hosts and variables of the linked container. Pure.

On a network of one's own a link is a name that the resolver gives this container only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from labdock.engine.ledger import Ledger
from labdock.engine.lifecycle import Status
from labdock.engine.records import ContainerRecord
from labdock.errors import InvalidRequest, LabdockError, NotFound
from labdock.schema.ids import short_id

_ALIAS = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")
#: Variables of the linked container that are its own business.
_PRIVATE = frozenset({"HOME", "PATH"})


def parse(text: str) -> tuple[str, str]:
    """ "db:data" → ("db", "data"), "db" → ("db", "db"). Raises InvalidRequest."""
    name, _, alias = text.partition(":")
    # quirk: clients that copy what inspect says send "/db:/web/data".
    name, alias = name.removeprefix("/"), alias.rpartition("/")[2]
    if not name or text.count(":") > 1:
        raise InvalidRequest(f"bad format for links: {text}", hint="write it as CONTAINER or CONTAINER:ALIAS")
    if not _ALIAS.match(alias or name):
        raise InvalidRequest(f"invalid link alias {alias or name!r}: letters, digits, . _ - only")
    return name, alias or name


def resolve(texts: Iterable[str], ledger: Ledger) -> tuple[tuple[str, str], ...]:
    """(container id, alias) of each link. Raises InvalidRequest when there is no such container."""
    found = []
    for text in texts:
        name, alias = parse(text)
        try:
            found.append((ledger.get(name).id, alias))
        except LabdockError as error:
            raise InvalidRequest(f"could not get container for {name}: {error}") from error
    return tuple(found)


def targets(record: ContainerRecord, ledger: Ledger) -> Iterator[tuple[ContainerRecord, str]]:
    """The linked containers that are still there, with their aliases."""
    for container, alias in record.links:
        if ledger.has_id(container):
            yield ledger.get(container), alias


def check_running(record: ContainerRecord, ledger: Ledger) -> None:
    """Raises InvalidRequest, in Docker's words, when a linked container does not run."""
    for target, alias in targets(record, ledger):
        if target.state.status not in (Status.RUNNING, Status.PAUSED):
            raise InvalidRequest(f"Cannot link to a non running container: /{target.name} AS /{record.name}/{alias}")


def hosts(record: ContainerRecord, ledger: Ledger) -> list[str]:
    """Entries for /etc/hosts, "name=ip" each."""
    found = []
    for target, alias in targets(record, ledger):
        for ip in _addresses(target):
            own = target.config.hostname or short_id(target.id)
            found += [f"{name}={ip}" for name in dict.fromkeys((alias, own, target.name))]
    return found


def variables(record: ContainerRecord, ledger: Ledger) -> list[str]:
    """Docker's variables for each link: ALIAS_NAME, ALIAS_PORT…, ALIAS_ENV_…"""
    found = []
    for target, alias in targets(record, ledger):
        prefix = alias.replace("-", "_").upper()
        found.append(f"{prefix}_NAME=/{record.name}/{alias}")
        ip = next(iter(_addresses(target)), "")
        ports = sorted(_ports(target))
        if ports and ip:
            number, proto = ports[0]
            found.append(f"{prefix}_PORT={proto}://{ip}:{number}")
        for number, proto in ports if ip else ():
            at = f"{prefix}_PORT_{number}_{proto.upper()}"
            found += [f"{at}={proto}://{ip}:{number}", f"{at}_ADDR={ip}", f"{at}_PORT={number}", f"{at}_PROTO={proto}"]
        for entry in target.env:
            name, _, value = entry.partition("=")
            if name not in _PRIVATE:
                found.append(f"{prefix}_ENV_{name}={value}")
    return found


def shown(record: ContainerRecord, ledger: Ledger) -> list[str] | None:
    """HostConfig.Links as inspect has it: "/db:/web/data"."""
    return [f"/{target.name}:/{record.name}/{alias}" for target, alias in targets(record, ledger)] or None


def names_of(ledger: Ledger) -> dict[str, list[str]]:
    """The names that containers have as others' links, by container: "/web/data"."""
    found: dict[str, list[str]] = {}
    for record in ledger:
        for target, alias in targets(record, ledger):
            found.setdefault(target.id, []).append(f"/{record.name}/{alias}")
    return found


def unlink(record: ContainerRecord, alias: str) -> tuple[tuple[str, str], ...]:
    """Its links without *alias*. Raises NotFound."""
    kept = tuple(link for link in record.links if link[1] != alias)
    if len(kept) == len(record.links):
        raise NotFound(f"Could not get link: /{record.name}/{alias}")
    return kept


def _addresses(target: ContainerRecord) -> list[str]:
    return [e.ip for e in target.endpoints if e.network == "bridge" and e.ip]


def _ports(target: ContainerRecord) -> set[tuple[int, str]]:
    found = set()
    for key in (*(target.config.exposed_ports or {}), *(target.host.port_bindings or {})):
        number, _, proto = key.partition("/")
        if number.isdecimal():
            found.add((int(number), proto or "tcp"))
    return found
