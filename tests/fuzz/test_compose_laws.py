"""What holds for every Compose file: a model of variables; merge, extends, include alike; where mistakes are."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from labdock.commands.compose_showing import canonical
from labdock.compose.document import ComposeError
from labdock.compose.interpolation import Missing, substitute
from labdock.compose.loading import Request, load
from labdock.errors import NotFound

KNOWN = {"SET": "value", "EMPTY": "", "DOLLAR": "a$b}${c", "X9_": "x"}
NAMES = st.sampled_from([*KNOWN, "NONE", "none", "_"])


def value_of(name: str, operator: str, word: str) -> str:
    """The specification's table, said once more."""
    there = name in KNOWN and (":" not in operator or KNOWN[name] != "")
    if operator.endswith("+"):
        return word if there else ""
    return KNOWN[name] if there else word


def written(name: str, operator: str, word: tuple[str, str]) -> tuple[str, str]:
    return f"${{{name}{operator}{word[0]}}}", value_of(name, operator, word[1])


#: A text with variables, and what it means.
LITERAL = st.text(st.characters(exclude_characters="${}", exclude_categories=["Cs"]), max_size=5).map(lambda s: (s, s))
LEAVES = st.one_of(
    LITERAL,
    st.just(("$$", "$")),
    NAMES.map(lambda name: (f"${{{name}}}", KNOWN.get(name, ""))),
    # What follows a bare name must be no part of it.
    NAMES.map(lambda name: (f"${name}.", KNOWN.get(name, "") + ".")),
)
JOINED = st.lists(LEAVES, max_size=3).map(lambda parts: ("".join(a for a, _ in parts), "".join(b for _, b in parts)))
EXPRESSIONS = st.recursive(
    JOINED,
    lambda inner: st.lists(
        st.one_of(LEAVES, st.builds(written, NAMES, st.sampled_from([":-", "-", ":+", "+"]), inner)), max_size=3
    ).map(lambda parts: ("".join(a for a, _ in parts), "".join(b for _, b in parts))),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(EXPRESSIONS)
def test_variables_mean_what_the_specification_says(expression: tuple[str, str]) -> None:
    assert substitute(expression[0], KNOWN) == expression[1]


@settings(max_examples=100, deadline=None)
@given(st.text(), NAMES, st.booleans())
def test_what_is_escaped_stays_and_what_is_required_is_there(text: str, name: str, filled: bool) -> None:
    escaped = text.replace("$", "$$")
    assert substitute(escaped, KNOWN) == text
    operator = ":?" if filled else "?"
    try:
        found = substitute(f"${{{name}{operator}say}}", KNOWN)
    except Missing as error:
        assert error.message == f"required variable {name} is missing a value: say"
        assert not KNOWN.get(name) if filled else name not in KNOWN
    else:
        assert found == KNOWN[name]


# Whole files.

WORDS = st.sampled_from(["a", "b", "c d", "é", "no", "0444", "1.50", "$X", "#", "x: y", "-", ""])
KEYS = st.sampled_from(["one", "two", "three"])
TABLE = st.dictionaries(KEYS, WORDS, max_size=2)
SERVICE = st.fixed_dictionaries(
    {"image": st.sampled_from(["x", "y:1"])},
    optional={
        "command": st.one_of(WORDS, st.lists(WORDS, max_size=2)),
        "environment": st.one_of(TABLE, st.lists(KEYS.map(lambda key: f"{key}=1"), max_size=2, unique=True)),
        "labels": TABLE,
        "ports": st.lists(st.sampled_from(["80", "8080:80", "127.0.0.1:81:81/udp"]), max_size=2, unique=True),
        "volumes": st.lists(st.sampled_from(["data:/data", "./here:/here:ro", "/only"]), max_size=2, unique=True),
        "networks": st.sampled_from([["back"], {"back": {"aliases": ["n"]}}, ["back", "front"]]),
        "cap_add": st.lists(st.sampled_from(["NET_RAW", "SYS_TIME"]), max_size=2, unique=True),
        "dns": st.sampled_from(["1.1.1.1", ["1.1.1.1", "8.8.8.8"]]),
        "hostname": st.sampled_from(["h", "g"]),
        "healthcheck": st.sampled_from([{"test": "true"}, {"test": ["CMD", "x"], "interval": "1s"}, {"disable": True}]),
        "deploy": st.sampled_from([{"replicas": 2}, {"resources": {"limits": {"memory": "5m"}}}]),
        "tmpfs": st.sampled_from(["/t", ["/t", "/u"]]),
        "init": st.booleans(),
    },
)
REST = {"volumes": {"data": None}, "networks": {"back": None, "front": {"internal": True}}}


def text_of(services: dict[str, Any], **more: Any) -> str:
    return str(yaml.safe_dump({"services": services, **more}, allow_unicode=True, sort_keys=False))


def read(folder: Path, **files: str) -> dict[str, Any]:
    """What the files mean together, as ``config`` shows it."""
    paths = []
    for name, text in files.items():
        paths.append(folder / f"{name}.yaml")
        paths[-1].write_text(text)
    return canonical(load(Request(files=tuple(paths), folder=folder, name="shop"), {"X": "x$x"}))


@settings(max_examples=60, deadline=None)
@given(SERVICE, SERVICE)
def test_merging_is_repeatable_and_what_is_shown_means_the_same(base: dict[str, Any], over: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        one, two = text_of({"web": base}, **REST), text_of({"web": over})
        alone, merged = read(folder, a=one), read(folder, a=one, b=two)
        assert read(folder, a=one, b=one) == alone, "a file over itself"
        assert read(folder, a=one, b="services: {}\n") == alone, "an empty file over it"
        assert read(folder, a=one, b=two, c=two) == merged, "the second file twice"
        assert read(folder, shown=yaml.safe_dump(merged, sort_keys=False)) == merged, "config's output is a file"
        for key in ("image", "hostname", "init"):
            if key in over:
                assert merged["services"]["web"][key] == over[key], "the later one counts"


@settings(max_examples=60, deadline=None)
@given(SERVICE, SERVICE)
def test_to_extend_is_to_merge_and_to_include_is_to_name_both(base: dict[str, Any], own: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        merged = read(folder, a=text_of({"web": base}, **REST), b=text_of({"web": own}))
        here = read(folder, a=text_of({"web": {"extends": "base", **own}, "base": base}, **REST))
        assert here["services"]["web"] == merged["services"]["web"]
        (folder / "other.yaml").write_text(text_of({"base": base}))
        extended = text_of({"web": {"extends": {"file": "other.yaml", "service": "base"}, **own}}, **REST)
        assert read(folder, a=extended)["services"]["web"] == merged["services"]["web"]
        both = read(folder, a=text_of({"web": own}, **REST), b=text_of({"base": base}))
        (folder / "part.yaml").write_text(text_of({"base": base}, **REST))
        assert read(folder, a=text_of({"web": own}, **REST, include=["part.yaml"])) == both


#: A mistake in a service: its lines, which of them is wrong, the key that is named.
MISTAKES = [
    (["prots: []"], 0, "prots"),
    (["ports:", "- 80:80", "- 80:eighty"], 2, "ports[1]"),
    (["ports: {a: b}"], 0, "ports"),
    (["environment:", "  A: [1]"], 1, "environment.A"),
    (["healthcheck:", "  test: x", "  interval: soon"], 2, "healthcheck.interval"),
    (["deploy:", "  resources:", "    limits:", "      memory: much"], 3, "deploy.resources.limits.memory"),
    (["image: ${NOPE:?say}"], 0, "image"),
    (["labels:", "  fine: 1", "  wrong: ${"], 2, "labels.wrong"),
    (["volumes:", "- type: bind", "  sorce: x"], 2, "volumes[0].sorce"),
    (["init: perhaps"], 0, "init"),
    (["scale: -1"], 0, "scale"),
    (["restart: sometimes"], 0, "restart"),
]


@pytest.mark.parametrize(("lines", "wrong", "key"), MISTAKES, ids=[key for _, _, key in MISTAKES])
@settings(max_examples=12, deadline=None)
@given(service=SERVICE, way=st.sampled_from(["alone", "over", "extended", "included"]), blank=st.integers(0, 3))
def test_a_mistake_is_named_by_file_line_and_key(
    lines: list[str], wrong: int, key: str, service: dict[str, Any], way: str, blank: int
) -> None:
    before = text_of({"fine": service}, **REST).partition("volumes:\n  data")[0] + "\n" * blank
    broken = before + "  bad:\n" + "".join(f"    {line}\n" for line in lines)
    place = f"{broken.count(chr(10)) - len(lines) + wrong + 1}: services.bad.{key}: "
    whole = {"web": service}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        (folder / "bad.yaml").write_text(broken + yaml.safe_dump(REST))
        others = {
            "alone": {},
            "over": {"a": text_of(whole, **REST)},
            "extended": {"a": text_of({"web": {"extends": {"file": "bad.yaml", "service": "bad"}}}, **REST)},
            "included": {"a": text_of(whole, **REST, include=["bad.yaml"])},
        }[way]
        with pytest.raises((ComposeError, NotFound)) as caught:
            if way in ("alone", "over"):
                read(folder, **others, bad=(folder / "bad.yaml").read_text())
            else:
                read(folder, **others)
        assert str(caught.value).startswith(f"{folder}/bad.yaml:{place}"), str(caught.value)
