"""Runs inside the image: takes a cell and variables from standard input, gives variables at the end of its output.

It is sent as text and has to be content with any Python from 3.6 and its standard library. The notebook's own Python
imports it for the two functions that pack values.
"""

import ast
import base64
import json
import linecache
import os
import pickle
import sys
import traceback
from typing import Any

NAME = "<cell>"


def pack(value: Any, how: str) -> Any:
    """*value* for the wire; raises TypeError or ValueError for what can't go. *how*: json or pickle."""
    if how == "pickle":
        return {"pickle": base64.b64encode(pickle.dumps(value, 4)).decode()}
    if isinstance(value, (bytes, bytearray)):
        return {"bytes": base64.b64encode(bytes(value)).decode()}
    text = json.dumps(value)
    if json.loads(text) != value:
        raise ValueError("it would come back changed (keys that are no text, tuples, or numbers that are none)")
    return {"json": value}


def unpack(packed: Any, how: str) -> Any:
    """The value of :func:`pack`; pickles only when they were asked for."""
    if "pickle" in packed and how == "pickle":
        return pickle.loads(base64.b64decode(packed["pickle"]))  # noqa: S301
    if "bytes" in packed:
        return base64.b64decode(packed["bytes"])
    return packed["json"]


def run(source: str, space: Any) -> None:
    """Run the cell as a notebook does: the value of a last expression is shown."""
    lines = source.splitlines(True)
    linecache.cache[NAME] = (len(source), None, lines, NAME)
    tree = ast.parse(source, NAME)
    final = tree.body[-1] if tree.body else None
    last = final.value if isinstance(final, ast.Expr) else None
    if last is not None:
        tree.body.pop()
    exec(compile(tree, NAME, "exec"), space)  # noqa: S102
    if last is not None:
        shown = eval(compile(ast.Expression(last), NAME, "eval"), space)  # noqa: S307
        if shown is not None:
            print(repr(shown))


def complain(error: BaseException) -> Any:
    """The traceback from the cell on; (what went wrong, the line of the cell or 0)."""
    frames = list(traceback.extract_tb(error.__traceback__))
    while frames and frames[0].filename != NAME:
        frames.pop(0)
    parts = traceback.format_list(frames) + traceback.format_exception_only(type(error), error)
    sys.stderr.write("".join(parts))
    line = next((frame.lineno for frame in reversed(frames) if frame.filename == NAME), 0)
    if isinstance(error, SyntaxError) and error.filename == NAME:
        line = error.lineno or 0
    return {"error": traceback.format_exception_only(type(error), error)[-1].strip(), "line": line}


def main() -> None:
    order = json.loads(sys.stdin.buffer.read().decode("utf-8"))
    sys.stdin = open(os.devnull)  # noqa: SIM115
    sys.argv = [NAME]
    how = order["how"]
    space = {"__name__": "__main__", "__builtins__": __builtins__}
    answer: Any = {"values": {}}
    code = 0
    try:
        for name, packed in order["values"].items():
            space[name] = unpack(packed, how)
        run(order["source"], space)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    except BaseException as error:
        answer.update(complain(error))
        code = 1
    for name in order["wanted"] if not code else ():
        if name not in space:
            answer.update({"error": f"NameError: the cell has no variable {name!r} to give back", "line": 0})
            code = 1
            break
        try:
            answer["values"][name] = pack(space[name], how)
        except Exception as error:
            words = f"{name!r} of type {type(space[name]).__name__} can't be given back: {error}"
            answer.update({"error": words, "line": 0, "unpacked": True})
            code = 1
            break
    sys.stdout.flush()
    sys.stderr.flush()
    with os.fdopen(os.dup(1), "wb") as out:
        out.write(b"\0" + order["mark"].encode() + json.dumps(answer).encode() + b"\0")
    sys.exit(code)


if __name__ == "__main__":
    main()
