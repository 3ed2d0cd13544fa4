"""``--format``: the part of Go's text/template that people use with Docker.

Fields (``{{.ID}}``, ``{{.State.Status}}``), ``json``, ``join``, ``split``, ``lower``, ``upper``, ``title``, ``len``,
``index``, ``slice``, ``print``, ``printf``, ``println``, ``truncate``, ``eq ne lt le gt ge and or not``, pipelines,
parentheses, ``if``/``else``/``end``, ``range``, ``with``, ``{{- -}}`` and ``$`` (the whole value).
Nothing in it can run code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from labdock.errors import InvalidRequest

_ACTION = re.compile(r"\{\{(- )?(.*?)( -)?\}\}", re.DOTALL)
_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:\\.|[^"\\])*"|`[^`]*`)|(?P<number>-?\d+)|(?P<field>\$?(?:\.[A-Za-z_]\w*)+|\.|\$)"""
    r"""|(?P<word>[A-Za-z_]\w*)|(?P<mark>[()|]))"""
)
Value = Any
Eval = Callable[[Value, Value], Value]  # (dot, root) → value


class Template:
    """A compiled template; ``render(value)`` gives its text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._parts = _split(text)
        self._body, position, ended = _parse(self._parts, 0)
        if ended is not None or position != len(self._parts):
            raise _bad(text, f"unexpected {{{{{ended}}}}}")

    def render(self, value: Value) -> str:
        """Raises InvalidRequest when the template asks for what *value* does not have."""
        return "".join(node(value, value) for node in self._body)


def _bad(text: str, why: str) -> InvalidRequest:
    return InvalidRequest(
        f"template parsing error: {why}", hint="fields are written {{.ID}}, all of them at once {{json .}}"
    )


def _split(text: str) -> list[tuple[str, str]]:
    """("text" | "action", content) pieces, with ``{{- -}}`` trimming done."""
    parts: list[tuple[str, str]] = []
    position, trim = 0, False
    for found in _ACTION.finditer(text):
        literal = text[position : found.start()]
        literal = literal.lstrip() if trim else literal
        parts.append(("text", literal.rstrip() if found[1] else literal))
        content = found[2].strip()
        if not content.startswith("/*"):
            parts.append(("action", content))
        position, trim = found.end(), bool(found[3])
    literal = text[position:]
    if "{{" in literal:
        raise _bad(text, "unclosed action")
    parts.append(("text", literal.lstrip() if trim else literal))
    return [part for part in parts if part[0] == "action" or part[1]]


Node = Callable[[Value, Value], str]


def _parse(parts: list[tuple[str, str]], position: int) -> tuple[list[Node], int, str | None]:
    """Nodes up to an ``end`` or ``else``: (nodes, position after it, which one)."""
    nodes: list[Node] = []
    while position < len(parts):
        kind, content = parts[position]
        position += 1
        if kind == "text":
            nodes.append(lambda dot, root, content=content: content)  # type: ignore[misc]
            continue
        word, _, rest = content.partition(" ")
        if word in ("if", "range", "with"):
            node, position = _block(word, rest, parts, position)
            nodes.append(node)
        elif word in ("end", "else"):
            return nodes, position, content
        else:
            pipeline = _pipeline(content)
            nodes.append(lambda dot, root, pipeline=pipeline: show(pipeline(dot, root)))  # type: ignore[misc]
    return nodes, position, None


def _block(word: str, condition: str, parts: list[tuple[str, str]], position: int) -> tuple[Node, int]:
    test = _pipeline(condition)
    body, position, ended = _parse(parts, position)
    other: list[Node] = []
    if ended is not None and ended.startswith("else if "):
        nested, position = _block("if", ended.removeprefix("else if "), parts, position)
        other = [nested]
    elif ended == "else":
        other, position, ended = _parse(parts, position)
        if ended != "end":
            raise _bad(condition, f"{{{{{word}}}}} without {{{{end}}}}")
    elif ended != "end":
        raise _bad(condition, f"{{{{{word}}}}} without {{{{end}}}}")

    def run(nodes: list[Node], dot: Value, root: Value) -> str:
        return "".join(node(dot, root) for node in nodes)

    def node(dot: Value, root: Value) -> str:
        value = test(dot, root)
        if not value:
            return run(other, dot, root)
        if word == "range":
            items = [value[key] for key in sorted(value)] if isinstance(value, Mapping) else list(value)
            return "".join(run(body, item, root) for item in items)
        return run(body, value if word == "with" else dot, root)

    return node, position


def _pipeline(text: str) -> Eval:
    tokens: list[tuple[str, str]] = []
    position = 0
    while position < len(text.rstrip()):
        found = _TOKEN.match(text, position)
        if not found or found.end() == position:
            raise _bad(text, f"unexpected {text[position:]!r} in {{{{{text}}}}}")
        kind = str(found.lastgroup)
        # `(index .Ports 0).HostPort` takes the parenthesis' field, `eq (len .A) .B` has two arguments.
        if kind == "field" and found[kind][0] == "." and text[: found.start(kind)].endswith(")"):
            kind = "chain"
        tokens.append((kind, found[found.lastgroup or 0]))
        position = found.end()
    if not tokens:
        raise _bad(text, "missing value for command")
    result, rest = _commands(tokens, text)
    if rest:
        raise _bad(text, f"unexpected {rest[0][1]!r} in {{{{{text}}}}}")
    return result


Tokens = list[tuple[str, str]]


def _commands(tokens: Tokens, text: str) -> tuple[Eval, Tokens]:
    """A pipeline up to its end or a closing parenthesis."""
    left, tokens = _command(tokens, None, text)
    while tokens and tokens[0][1] == "|":
        left, tokens = _command(tokens[1:], left, text)
    return left, tokens


def _command(tokens: Tokens, piped: Eval | None, text: str) -> tuple[Eval, Tokens]:
    function: str | None = None
    if tokens and tokens[0][0] == "word" and tokens[0][1] not in ("true", "false", "nil"):
        function, tokens = tokens[0][1], tokens[1:]
        if function not in FUNCTIONS:
            raise _bad(text, f'function "{function}" not defined')
    arguments: list[Eval] = []
    while tokens and tokens[0][1] not in ("|", ")"):
        argument, tokens = _operand(tokens, text)
        arguments.append(argument)
    if piped is not None:
        arguments.append(piped)
    if function is None:
        if len(arguments) != 1 or piped is not None:
            raise _bad(text, f"{{{{{text}}}}} is no command")
        return arguments[0], tokens
    call = FUNCTIONS[function]

    def evaluate(dot: Value, root: Value) -> Value:
        try:
            return call(*(argument(dot, root) for argument in arguments))
        except (TypeError, ValueError, IndexError, KeyError, AttributeError) as error:
            raise _bad(text, f"error calling {function}: {error}") from error

    return evaluate, tokens


def _operand(tokens: Tokens, text: str) -> tuple[Eval, Tokens]:
    (kind, token), rest = tokens[0], tokens[1:]
    if token == "(":
        inner, rest = _commands(rest, text)
        if not rest or rest[0][1] != ")":
            raise _bad(text, "unclosed left paren")
        rest = rest[1:]
        while rest and rest[0][0] == "chain":
            inner, rest = _chain(inner, rest[0][1]), rest[1:]
        return inner, rest
    if kind == "text":
        literal = token[1:-1] if token[0] == "`" else msgspec.json.decode(token)
        return lambda dot, root: literal, rest
    if kind == "number":
        number = int(token)
        return lambda dot, root: number, rest
    if kind == "word":
        constant = {"true": True, "false": False, "nil": None}.get(token)
        return lambda dot, root: constant, rest
    names = [name for name in token.removeprefix("$").split(".") if name]
    from_root = token.startswith("$")
    return lambda dot, root: _field(root if from_root else dot, names), rest


def _chain(inner: Eval, token: str) -> Eval:
    names = token.split(".")[1:]
    return lambda dot, root: _field(inner(dot, root), names)


def _field(value: Value, names: list[str]) -> Value:
    for name in names:
        if isinstance(value, Mapping):
            if name not in value:
                close = next((key for key in value if str(key).lower() == name.lower()), None)
                hint = f"did you mean {{{{.{close}}}}}?" if close else f"it has {', '.join(sorted(map(str, value)))}"
                raise InvalidRequest(f'template: there is no field "{name}"', hint=hint)
            value = value[name]
            value = value() if callable(value) else value
        elif value is None:
            return None
        else:
            raise InvalidRequest(f'template: can\'t take the field "{name}" of {show(value)!r}')
    return value


def show(value: Value) -> str:
    """A value as Go prints it."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{key}:{show(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list | tuple):
        return "[" + " ".join(show(item) for item in value) + "]"
    return str(value)


def _plain(value: Value) -> Value:
    if isinstance(value, Mapping):
        return {key: _plain(item() if callable(item) else item) for key, item in value.items()}
    return value


def _index(value: Value, *keys: Value) -> Value:
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else value[key]
    return value


def _printf(form: str, *values: Value) -> str:
    values = tuple(show(value) if not isinstance(value, int | float) else value for value in values)
    return re.sub(r"%v|%q", "%s", form) % values


FUNCTIONS: dict[str, Callable[..., Value]] = {
    "json": lambda value: msgspec.json.encode(_plain(value)).decode(),
    "join": lambda items, separator: separator.join(map(show, items)),
    "split": lambda text, separator: text.split(separator),
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "title": lambda text: text.title(),
    "len": len,
    "index": _index,
    "slice": lambda value, start=0, end=None: value[start:end],
    "truncate": lambda text, length: text[:length],
    "print": lambda *values: "".join(map(show, values)),
    "println": lambda *values: " ".join(map(show, values)) + "\n",
    "printf": _printf,
    "eq": lambda first, *others: any(first == other for other in others),
    "ne": lambda first, second: first != second,
    "lt": lambda first, second: first < second,
    "le": lambda first, second: first <= second,
    "gt": lambda first, second: first > second,
    "ge": lambda first, second: first >= second,
    "and": lambda *values: next((value for value in values if not value), values[-1]),
    "or": lambda *values: next((value for value in values if value), values[-1]),
    "not": lambda value: not value,
}
