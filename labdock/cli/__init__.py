"""The ``labdock`` command: the command tree in a terminal. Data goes to stdout, everything else to stderr.

Exit codes are Docker's: the program's own for ``run`` and ``exec``, 125 when the engine could not do it (and for
words that can't be understood), 126 and 127 when the program could not be run, 130 after Ctrl-C and 143 after SIGTERM,
else 1.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["execute", "main"]


#: What an interrupted command exits with: 128 and the number of the signal.
_interrupted = {"code": 130}


def main() -> None:
    """Run the command line of this process and end it."""
    import gc
    import os

    # A command lives for milliseconds: collecting and tearing down would be a good part of them.
    gc.disable()
    _end_in_order()
    code = execute(sys.argv[1:])
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        code = code or 1
    os._exit(code)


def _end_in_order() -> None:
    """SIGTERM ends a command as Ctrl-C does, with docker's code: what it has changed of a terminal is put back."""
    import signal

    def end(number: int, _frame: object) -> None:
        _interrupted["code"] = 128 + number
        raise KeyboardInterrupt

    # Who was started with it ignored keeps it so.
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, end)


def execute(words: Sequence[str]) -> int:
    """Do what *words* say; the exit code."""
    from labdock.cli.terminal import Terminal
    from labdock.commands import run
    from labdock.errors import LabdockError

    face = Terminal()
    try:
        result = run(words, face)
        face.show("" if result is None else str(result))
        return 0 if result is None else result.exit_code
    except LabdockError as error:
        face.show_error(error)
        code = getattr(error, "exit_code", 1)
        return code if isinstance(code, int) else 1
    except KeyboardInterrupt:
        return _interrupted["code"]
    except BrokenPipeError:
        return 141
    finally:
        face.close()
