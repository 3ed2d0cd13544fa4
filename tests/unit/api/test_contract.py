"""The contract has a line for what is served, and the OpenAPI document says what the table says."""

from __future__ import annotations

import jsonschema
import pytest

from labdock.api.contract import Operation, describe, openapi, operation_of, operations, plain_path, refusal_of
from labdock.api.shapes import SHAPES, problems, to_schema
from labdock.api.table import ROWS

SERVED = [row for row in ROWS if not refusal_of(row)]


@pytest.mark.parametrize("row", SERVED, ids=lambda row: f"{row.method} {row.pattern}")
def test_what_is_served_has_a_line(row: object) -> None:
    found = operation_of(row)  # type: ignore[arg-type]
    assert found.status, f"{found.method} {found.path} has no line in labdock.api.contract"


def test_every_line_is_an_endpoint() -> None:
    known = {(row.method, plain_path(row)) for row in ROWS}
    assert [line for line in operations() if line not in known] == []


def test_a_line_is_read_whole() -> None:
    found = operations()["GET", "/images/get"]
    assert isinstance(found, Operation)
    assert (found.status, found.answer, found.body) == (200, "tar", "")
    asked = [(p.name, p.kind, p.required, p.repeated) for p in found.query]
    assert asked == [("names", "s", True, True), ("platform", "j", False, True)]


def test_the_document_names_every_served_endpoint_once() -> None:
    document = openapi()
    found = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert found == {(row.method, plain_path(row)) for row in SERVED}
    ids = [methods[method]["operationId"] for methods in document["paths"].values() for method in methods]
    assert len(ids) == len(set(ids))


def test_references_in_the_document_lead_somewhere() -> None:
    document = openapi()
    names: set[str] = set()

    def walk(value: object) -> None:
        if isinstance(value, dict):
            if isinstance(ref := value.get("$ref"), str):
                names.add(ref.removeprefix("#/components/schemas/"))
            for each in value.values():
                walk(each)
        elif isinstance(value, list):
            for each in value:
                walk(each)

    walk(document)
    assert {"Error", "CreateRequest", "HostConfig", "Container"} <= names
    assert names <= set(document["components"]["schemas"])


def test_the_printed_table_says_what_is_refused_and_why() -> None:
    rows = {(row["Method"], row["Path"]): row for row in describe()}
    assert rows["POST", "/containers/create"]["Refused"] == ""
    assert rows["POST", "/swarm/leave"]["Refused"] == "no swarm"
    assert rows["POST", "/plugins/pull"]["Refused"] == "no plugins"
    assert rows["POST", "/session"]["Refused"] == "no BuildKit API"
    assert rows["GET", "/system/df"]["Since"] == "1.25"


@pytest.mark.parametrize(
    ("value", "shape", "wrong"),
    [
        ({"A": "x", "B": [1, 2]}, "A:s B[]:i", []),
        ({"A": 1}, "A:s B:i", [".A: 1 is none of s", ".B is missing"]),
        ({"A": True}, "A:i", [".A: True is none of i"]),
        ({"A": None}, "A:ln", []),
        ({"N": {"x": {"I": 1}, "y": {}}}, "N.*.I:i", [".N.y.I is missing"]),
        ([{"A": "x"}], "[].A:s", []),
        ({"A": "x"}, "[].A:s", [": {'A': 'x'} is no list"]),
    ],
)
def test_a_shape_and_its_schema_agree(value: object, shape: str, wrong: list[str]) -> None:
    assert problems(value, shape) == wrong
    assert jsonschema.Draft202012Validator(to_schema(shape)).is_valid(value) is not bool(wrong)


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_is_a_valid_schema(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(to_schema(SHAPES[name]))
