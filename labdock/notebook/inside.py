"""``%%in IMAGE``: the cell's Python, run inside an image, with variables that go in and come out.

Values travel as JSON, and bytes as they are: an image can't run code here by what it gives back. Pickles, which can,
are used only with ``--pickle``.
"""

from __future__ import annotations

import keyword
import secrets
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

import click
import msgspec

from labdock.commands.create_options import create_options
from labdock.commands.results import Exited, Result
from labdock.commands.running import run_failure, run_image
from labdock.commands.tree import command
from labdock.errors import InvalidRequest, LabdockError
from labdock.notebook import inside_program
from labdock.notebook.face import NotebookFace

#: The values that go in or come out, at most: they are held in memory several times on the way.
MOST = 64 << 20


class Answer(msgspec.Struct):
    """What the program in the image says at its end. ``line``: of the cell, 0 when there is none."""

    values: dict[str, dict[str, Any]] = {}
    error: str = ""
    line: int = 0
    unpacked: bool = False


class CellFailed(LabdockError):
    """The cell's Python raised; its traceback has been shown."""

    code = "cell_failed"


class InsideFace(NotebookFace):
    """A face whose input is the order for the program, and which keeps its answer apart from the output."""

    def __init__(self, body: str | None = None, *, space: MutableMapping[str, Any], **options: Any) -> None:
        super().__init__(body, **options)
        self.space = space
        self.source = body or ""
        self.mark = secrets.token_hex(16)
        self._start = b"\0" + self.mark.encode()
        self._held = b""
        self._answer: bytearray | None = None

    def order(self, values: Mapping[str, Any], wanted: tuple[str, ...], how: str) -> None:
        """What the program is to do."""
        packed = {name: _packed(name, value, how) for name, value in values.items()}
        # Lines are counted as the cell's: its magic is the first.
        source = "\n" * (self.input_line - 1) + self.source
        wire = {"source": source, "values": packed, "wanted": wanted, "how": how, "mark": self.mark}
        self._body = msgspec.json.encode(wire)
        if len(self._body) > MOST:
            raise InvalidRequest(
                f"the variables are {len(self._body) >> 20} MB, {MOST >> 20} MB can go in",
                hint="-v mounts a folder: %%in -v .:/data IMAGE",
            )

    def write(self, stream: str, data: bytes) -> None:
        if stream != "stdout":
            super().write(stream, data)
        elif self._answer is not None:
            self._answer += data
            if len(self._answer) > MOST:
                raise InvalidRequest(
                    f"what comes out is more than {MOST >> 20} MB", hint="write it to a mounted folder"
                )
        else:
            self._sort(self._held + data)

    def _sort(self, data: bytes) -> None:
        """Output goes on; from the mark on it is the answer. What may be a mark's beginning waits."""
        before, found, after = data.partition(self._start)
        self._held = b""
        if found:
            self._answer = bytearray(after)
            data = before
        else:
            last = data.rfind(b"\0")
            if last >= 0 and self._start.startswith(data[last:]):
                data, self._held = data[:last], data[last:]
        if data:
            super().write("stdout", data)

    def close(self) -> None:
        held, self._held = self._held, b""
        if held:
            super().write("stdout", held)
        super().close()

    def answer(self) -> Answer | None:
        """None when the program never came to its end."""
        if self._answer is None:
            return None
        try:
            return msgspec.json.decode(bytes(self._answer).rstrip(b"\0"), type=Answer)
        except msgspec.MsgspecError as error:
            raise InvalidRequest(f"what came out can't be read: {error}") from error


def _packed(name: str, value: object, how: str) -> Any:
    try:
        return inside_program.pack(value, how)
    except Exception as error:
        kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
        raise InvalidRequest(
            f"variable {name!r} of type {kind} can't go in: {error}",
            hint="JSON values and bytes can; --pickle sends anything else, if both sides have its module",
        ) from error


def _names(texts: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(name.strip() for text in texts for name in text.split(",") if name.strip())
    for name in names:
        if not name.isidentifier() or keyword.iskeyword(name):
            raise InvalidRequest(f"{name!r} is no variable's name")
    return names


@command("%%in")
@create_options
@click.option("--in", "given", multiple=True, help="Variables of the notebook that go in (a,b)")
@click.option("--out", "wanted", multiple=True, help="Variables that come out (c,d)")
@click.option("--pickle", is_flag=True, help="Send any value; whoever made the image can then run code here")
@click.option("--python", default="python3", help="The interpreter in the image")
@click.argument("image")
@click.pass_obj
def run_inside(
    face: InsideFace,
    /,
    image: str,
    given: tuple[str, ...],
    wanted: tuple[str, ...],
    pickle: bool,
    python: str,
    **options: Any,
) -> Result | None:
    """Run the cell's Python inside an image. Variables go in by --in and come out by --out.

    The options are those of run. Values are JSON or bytes, unless --pickle.
    """
    names, how = _names(given), "pickle" if pickle else "json"
    missing = [name for name in names if name not in face.space]
    if missing:
        raise InvalidRequest(f"there is no variable {missing[0]!r} to take along", hint="--in takes names: --in a,b")
    returned = _names(wanted)
    face.order({name: face.space[name] for name in names}, returned, how)
    options |= {"interactive": True, "tty": False, "detach": False, "attach": (), "sig_proxy": True}
    options |= {"detach_keys": None, "rm": True, "entrypoint": python}
    program = Path(inside_program.__file__).read_text()
    try:
        ended = run_image(face, image, ("-c", program), options)
    except LabdockError as error:
        failure = run_failure(error)
        if getattr(failure, "exit_code", 1) == 127:
            failure.hint = f"{image} has no {python}: take an image with Python in it, or say which with --python"
        raise failure from error
    return _finish(face, ended, returned, how)


def _finish(face: InsideFace, ended: Result, wanted: tuple[str, ...], how: str) -> Result | None:
    answer = face.answer()
    if answer is None:
        return ended if ended.exit_code else Exited(1)
    if answer.error:
        where = f" (line {answer.line} of the cell)" if answer.line else ""
        hint = (
            "--pickle gives back anything, and lets whoever made the image run code here" if answer.unpacked else None
        )
        raise CellFailed(f"{answer.error}{where}", hint=hint)
    try:
        # Only what was asked for: an image names no variable of the notebook on its own.
        values = {name: inside_program.unpack(answer.values[name], how) for name in wanted}
    except (KeyError, ValueError) as error:
        raise InvalidRequest(f"what came out can't be read: {error!r}") from error
    face.space.update(values if not ended.exit_code else {})
    return ended
