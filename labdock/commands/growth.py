"""Builds that grow from cell to cell: ``%%dockerfile --step NAME``. In this process's memory only.

A cell that is run again takes its own place, and what came after it is forgotten: the cells below are to be run again,
as after any change in a notebook. Where front ends do not tell which cell it is, its text tells.
"""

from __future__ import annotations

from labdock.errors import InvalidRequest

#: name → (cell, text) of each step that was built.
_steps: dict[str, list[tuple[str, str]]] = {}


def before(name: str, cell: str, text: str) -> str:
    """The text that *text*, in the notebook's *cell* ("": unknown), goes on from. Raises InvalidRequest for none."""
    known = _steps.get(name, [])
    place = _place(known, cell, text)
    if place == 0 and not _begins(text):
        raise InvalidRequest(
            f"the build {name!r} has no beginning", hint=f"its first cell: %%dockerfile --step {name}, then FROM …"
        )
    return "".join(text for _, text in known[:place])


def keep(name: str, cell: str, text: str) -> None:
    """The step was built: it is what the next one goes on from."""
    known = _steps.setdefault(name, [])
    del known[_place(known, cell, text) :]
    known.append((cell, text if text.endswith("\n") else text + "\n"))


def forget(name: str) -> None:
    _steps.pop(name, None)


def _place(known: list[tuple[str, str]], cell: str, text: str) -> int:
    """Which step it is, from 0."""
    for index, (its_cell, its_text) in enumerate(known):
        if cell == its_cell if cell and its_cell else text.rstrip("\n") == its_text.rstrip("\n"):
            return index
    # FROM begins anew, unless it is a further stage: those have a name or use one.
    return 0 if known and _begins(text) and not _is_stage(text, known) else len(known)


def _begins(text: str) -> bool:
    words = next((line.split() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")), [])
    return bool(words) and words[0].upper() in ("FROM", "ARG")


def _is_stage(text: str, known: list[tuple[str, str]]) -> bool:
    """Whether *text* goes on with a further stage: it copies from a stage that *known* has named."""
    from labdock.commands.cell_context import instructions

    names = {
        each.rest.split()[-1].lower()
        for _, body in known
        for each in instructions(body)
        if each.word == "FROM" and " as " in f" {each.rest.lower()} "
    }
    return any(f"--from={name}" in text.lower() or f"from {name}" in text.lower() for name in names)
