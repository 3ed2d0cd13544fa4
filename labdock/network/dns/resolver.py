"""What to say to a query. Pure: a view and bytes in, bytes or a question for others out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from labdock.network.dns import messages
from labdock.network.dns.messages import Malformed, Query
from labdock.network.dns.table import View


@dataclass(frozen=True, slots=True)
class Ask:
    """Somebody else must know: ``query`` goes to the upstreams as it came."""

    query: Query


#: An answer, something to ask on, or None: not a query at all, to be passed over in silence.
Verdict = bytes | Ask | None

_NOBODY: Mapping[bytes, bytes] = {}


def resolve(data: bytes, view: View, fixed: Mapping[bytes, bytes] = _NOBODY, *, stream: bool = False) -> Verdict:
    """The verdict on the query *data* of the container that sees *view*.

    *fixed* are names that mean the same in every network: name → IPv4 address. A name that exists but has no
    record of the type asked for is answered NOERROR without a record, for every type: nobody elsewhere knows more
    of it. What is not known is asked on, unless no network of the container has a way out (SERVFAIL, as Docker says).
    *stream*: it came over TCP, so the answer need not fit a datagram.
    """
    if len(data) < 12 or data[2] & 0x80:
        # Answering an answer could go on for ever.
        return None
    try:
        query = messages.parse_query(data)
    except Malformed:
        return messages.refuse(data)
    if query.opcode:
        return messages.answer_code(query, messages.NOTIMP)
    if query.extended and query.version:
        return messages.answer_version(query)
    if query.cls == messages.IN:
        room = messages.LARGEST if stream else query.room
        resolve_one = _resolve_pointer if query.type == messages.PTR else _resolve_name
        known = resolve_one(query, view, fixed, room)
        if known is not None:
            return known
    return Ask(query) if view.outward else messages.answer_code(query, messages.SERVFAIL)


def _resolve_name(query: Query, view: View, fixed: Mapping[bytes, bytes], room: int) -> bytes | None:
    found = view.find(query.name)
    if found is None and query.name in fixed:
        found = (fixed[query.name],), ()
    if found is None:
        return None
    four, six = found
    if query.type == messages.A:
        return messages.answer_addresses(query, four, room)
    if query.type == messages.AAAA:
        return messages.answer_addresses(query, six, room)
    if query.type == messages.ANY:
        return messages.answer_addresses(query, four + six, room)
    return messages.answer_code(query, messages.NOERROR)


def _resolve_pointer(query: Query, view: View, fixed: Mapping[bytes, bytes], room: int) -> bytes | None:
    found = view.find_pointer(query.name)
    if found is not None:
        return messages.answer_pointer(query, found, room)
    address = messages.address_of(query.name)
    if address is not None and view.is_near(address):
        return messages.answer_code(query, messages.NXDOMAIN)
    return None
