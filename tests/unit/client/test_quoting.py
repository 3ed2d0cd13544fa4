"""Quoting for URLs is what everybody else's is."""

from __future__ import annotations

import urllib.parse

from hypothesis import given
from hypothesis import strategies as st

from labdock.client.caller import encode_query, quote


@given(st.text())
def test_quote(text: str) -> None:
    assert quote(text) == urllib.parse.quote(text, safe="", errors="surrogateescape")


@given(st.dictionaries(st.text(min_size=1, max_size=5), st.text(min_size=1, max_size=9), max_size=4))
def test_queries_come_back(query: dict[str, str]) -> None:
    assert dict(urllib.parse.parse_qsl(encode_query(query)[1:], keep_blank_values=True)) == query
