"""All containers, in memory and in the state database: a record is in the database before anyone sees it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from labdock.engine.records import ContainerRecord
from labdock.errors import Conflict, InvalidRequest, NoSuchContainer, StorageFull
from labdock.schema.ids import short_id
from labdock.store.metadata import Database, Records

log = logging.getLogger("labdock.engine")


class Ledger:
    """Containers by id, name and id prefix. Writes go to the database first, in the caller's transaction if any."""

    def __init__(self, database: Database) -> None:
        self._records: Records[ContainerRecord] = database.records("containers", ContainerRecord)
        self._by_id: dict[str, ContainerRecord] = {}
        self._by_name: dict[str, str] = {}
        self._unwritten: set[str] = set()
        for record in self._records.all():
            self._by_id[record.id] = record
            self._by_name[record.name] = record.id

    def __iter__(self) -> Iterator[ContainerRecord]:
        return iter(tuple(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def has_name(self, name: str) -> bool:
        return name in self._by_name

    def has_id(self, container: str) -> bool:
        return container in self._by_id

    def get(self, ref: str) -> ContainerRecord:
        """By name, id or unambiguous id prefix. NoSuchContainer, or InvalidRequest when a prefix fits several."""
        ref = ref.removeprefix("/")
        found = self._by_id.get(ref) or self._by_id.get(self._by_name.get(ref, ""))
        if found is not None:
            return found
        matching = [record for key, record in self._by_id.items() if ref and key.startswith(ref)]
        if len(matching) > 1:
            raise InvalidRequest(f"Multiple IDs found with provided prefix: {ref}")
        if not matching:
            raise NoSuchContainer(ref)
        return matching[0]

    def check_free(self, name: str) -> None:
        """Conflict, in Docker's words, when *name* is taken."""
        holder = self._by_name.get(name)
        if holder is not None:
            raise Conflict(
                f'Conflict. The container name "/{name}" is already in use by container "{holder}". '
                f"You have to remove (or rename) that container to be able to reuse that name.",
                hint=f"docker rm -f {short_id(holder)}",
            )

    def put(self, record: ContainerRecord) -> ContainerRecord:
        """Write *record* (new or changed) and give it back."""
        self._records.put(record.id, record, name=record.name)
        before = self._by_id.get(record.id)
        if before is not None and before.name != record.name:
            del self._by_name[before.name]
        self._by_id[record.id] = record
        self._by_name[record.name] = record.id
        self._unwritten.discard(record.id)
        return record

    def observe(self, record: ContainerRecord) -> ContainerRecord:
        """As put, for what has happened already: true in memory at once, and written later when the disk is full.

        (Until then a restart of the engine would find it out again, or record it as lost.)
        """
        try:
            return self.put(record)
        except StorageFull as error:
            log.error("recording container %s: %s; trying again later", record.id[:12], error)
            self._by_id[record.id] = record
            self._unwritten.add(record.id)
            return record

    def remember(self, record: ContainerRecord) -> ContainerRecord:
        """As put, but in memory only: for what may be lost with the engine. The next put writes it too."""
        self._by_id[record.id] = record
        return record

    @property
    def behind(self) -> bool:
        """Whether something observed is not on disk yet."""
        return bool(self._unwritten)

    def catch_up(self) -> None:
        """Write what is not on disk yet. StorageFull while that can't be done."""
        for container in tuple(self._unwritten):
            if container in self._by_id:
                self.put(self._by_id[container])
            self._unwritten.discard(container)

    def delete(self, container: str) -> None:
        """Forget *container*; no error when it is not there."""
        self._records.delete(container)
        record = self._by_id.pop(container, None)
        if record is not None and self._by_name.get(record.name) == container:
            del self._by_name[record.name]
