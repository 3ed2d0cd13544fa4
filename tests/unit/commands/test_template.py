"""``--format``: Go's templates as people write them for Docker."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labdock.commands.template import Template
from labdock.errors import InvalidRequest

VALUE: dict[str, Any] = {
    "ID": "abc",
    "Names": "web",
    "Size": 3,
    "State": {"Running": True, "Status": "running", "Error": ""},
    "Config": {"Env": ["A=1", "B=2"], "Labels": {"z": "1", "a": "2"}, "Cmd": None},
    "NetworkSettings": {
        "Networks": {"bridge": {"IPAddress": "172.17.0.2"}, "app": {"IPAddress": "172.18.0.2"}},
        "Ports": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]},
    },
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("plain", "plain"),
        ("{{.ID}}", "abc"),
        ("{{ .ID }}: {{.Names}}", "abc: web"),
        ("{{.State.Status}}", "running"),
        ("{{.State.Running}}", "true"),
        ("{{.Config.Cmd}}", "<no value>"),
        ("{{.Config.Env}}", "[A=1 B=2]"),
        ("{{.Config.Labels}}", "map[a:2 z:1]"),
        ("{{json .Config.Env}}", '["A=1","B=2"]'),
        ("{{.Config.Env | json}}", '["A=1","B=2"]'),
        ('{{join .Config.Env ","}}', "A=1,B=2"),
        ('{{index .Config.Labels "a"}}', "2"),
        ('{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}', "8080"),
        ('{{with (index .NetworkSettings.Ports "80/tcp")}}{{(index . 0).HostIp}}{{end}}', "127.0.0.1"),
        ("{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}", "172.18.0.2 172.17.0.2 "),
        ("{{range .Config.Env}}{{println .}}{{end}}", "A=1\nB=2\n"),
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        ("{{if .State.Error}}bad{{else if .State.Running}}up{{else}}down{{end}}", "up"),
        ("{{if eq .Names `web`}}yes{{end}}", "yes"),
        ("{{if and .State.Running (not .State.Error)}}fine{{end}}", "fine"),
        ("{{range .Config.Cmd}}x{{else}}none{{end}}", "none"),
        ("{{upper .Names}} {{lower `A`}} {{len .Config.Env}}", "WEB a 2"),
        ("a {{- .ID -}} b", "aabcb"),
        ("{{/* a comment */}}x", "x"),
        ("{{range .Config.Env}}{{$.ID}}{{end}}", "abcabc"),
        ('{{printf "%s-%d" .ID .Size}}', "abc-3"),
        ("{{slice .ID 0 2}}", "ab"),
    ],
)
def test_table(template: str, text: str) -> None:
    assert Template(template).render(VALUE) == text


@pytest.mark.parametrize(
    "template",
    [
        "{{",
        "{{.ID",
        "{{if .ID}}",
        "{{end}}",
        "{{nope .ID}}",
        "{{.ID .Names}}",
        "{{}}",
        "{{(.ID}}",
        "{{.ID | }}",
        "{{&}}",
    ],
)
def test_broken_templates(template: str) -> None:
    with pytest.raises(InvalidRequest, match="template parsing error"):
        Template(template).render(VALUE)


def test_a_field_that_is_not_there_says_what_is() -> None:
    with pytest.raises(InvalidRequest, match='no field "id"') as caught:
        Template("{{.id}}").render(VALUE)
    assert caught.value.hint == "did you mean {{.ID}}?"


@given(st.text(alphabet='{}.|()"`$ -aIDifendrange0', max_size=40))
def test_no_text_makes_anything_but_an_answer_or_a_refusal(text: str) -> None:
    try:
        Template(text).render(VALUE)
    except InvalidRequest:
        return
