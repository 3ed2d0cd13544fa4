"""Compose files out of anything: taken, or refused with file and line; never another error."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from labdock.compose import keys, labels, requests
from labdock.compose.document import ComposeError
from labdock.compose.loading import Request, load
from labdock.errors import InvalidRequest, NotFound

ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(
        "80:80 [::1]:80:80/udp 1-3:4-6 x:/y:ro /y ./a $X ${X:-y} ${ $$ 5s 1g -1 service:web container:x a=b no 0444 "
        "service_healthy web CMD host 1e9 ~ <<".split()
    ),
)
VALUES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(
                st.sampled_from(
                    "source target type soft hard condition path file service web test context limits resources memory "
                    "cpus subnet config name external x-a".split()
                ),
                st.text(max_size=6),
            ),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=6,
)
SERVICES = st.dictionaries(st.sampled_from(sorted(keys.SERVICE)), VALUES, max_size=2)
TOP = st.fixed_dictionaries(
    {"services": st.fixed_dictionaries({"web": SERVICES.map(lambda found: {"image": "x"} | found)})},
    optional={
        name: st.one_of(VALUES, st.dictionaries(st.sampled_from(["default", "web", "a"]), VALUES, max_size=2))
        for name in ("networks", "volumes", "secrets", "configs", "include", "name", "version")
    },
)


def take(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            project = load(Request(text=text, folder=Path(folder), name="shop"), {"Y": "1"})
            for name, service in project.services.items():
                labels.config_hash(service, project)
                requests.request_for(name, service, project, labels={}, find=lambda other: "id")
        except ComposeError as error:
            assert str(error).startswith(("the cell:", "/", "-p")), error
        except (InvalidRequest, NotFound) as error:
            assert error.message


@settings(max_examples=200, deadline=None)
@given(TOP)
def test_any_values_below_the_known_keys(found: dict[str, Any]) -> None:
    take(yaml.safe_dump(found, allow_unicode=True))


@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from("services:webimg{}[]&*!|>#'\"-$ \n\t%@<>=~0"), max_size=80))
def test_any_text(text: str) -> None:
    take("services:\n  web:\n    image: x\n" + text)
    take(text)


#: What an earlier file may say, a number of everything, and shapes that are somebody else's.
ODD = (
    "null true -1 0 99999999999999999999999 1.5 .inf .nan '' a a:b a:b:c:d ':' '::' '80:' [] [[]] [{}] [null] {} "
    "'${X:?}' é / ~ ../x [web] [db,db] service:web service: ['0:80'] ['80-79:1-2'] ['1-65535:1'] 1e400 0x 08 '08' 1_000"
).split()
ODD += ["!reset null", "!override [a]", '"\\0"', "{a: }", "{a: {}}", "{a: []}", "{a: b}", "{soft: 1}", "{test: []}"]
ODD += ["[{target: 70000}]", "{condition: 5}", "{web: {condition: service_healthy}}", "{replicas: -1}", "[{source: s}]"]
ODD += ["{resources: {limits: {cpus: '1/0'}}}", "{resources: {limits: {cpus: nan, memory: -1}}}", "{context: 5}"]


@pytest.mark.parametrize("key", sorted({*keys.SERVICE, *keys.UNSUPPORTED} - {"image"}))
def test_every_key_of_a_service_with_odd_values(key: str) -> None:
    for value in ODD:
        take(f"services:\n  web:\n    image: x\n    {key}: {value}\n  db: {{image: y}}\n")


@pytest.mark.parametrize("key", ["networks", "volumes", "secrets", "configs", "include", "name", "version", "x-y"])
def test_every_key_at_the_top_with_odd_values(key: str) -> None:
    for value in ODD:
        take(f"services: {{web: {{image: x}}}}\n{key}: {value}\n")
        take(f"services: {{web: {{image: x}}}}\n{key}: {{default: {value}}}\n")
        take(f"services: {value}\n")
