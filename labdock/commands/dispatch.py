"""From words to a command's result, with click's errors turned into labdock's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from labdock.commands.results import Exited, Result, Text
from labdock.commands.tree import root
from labdock.errors import InvalidRequest

if TYPE_CHECKING:
    from labdock.commands.face import Face

#: What docker's CLI exits with when a command line can't be understood.
USAGE_EXIT = 125


class UsageFailure(InvalidRequest):
    """The words can't be understood; the hint says where the right ones are."""

    exit_code = USAGE_EXIT


def dispatch(words: Sequence[str], face: Face, program: str, command: click.Command = root) -> Result | None:
    """Run *command* (the whole tree unless told) with *words*; see :func:`labdock.commands.run`."""
    try:
        with command.make_context(program, list(words), obj=face) as context:
            found = command.invoke(context)
    except click.exceptions.NoArgsIsHelpError as error:
        return Text(error.ctx.get_help())
    except click.exceptions.Exit as ended:
        return Exited(ended.exit_code) if ended.exit_code else None
    except click.Abort as error:
        raise KeyboardInterrupt from error
    except click.UsageError as error:
        raise _usage(error) from error
    except click.ClickException as error:
        raise InvalidRequest(error.format_message()) from error
    return found if isinstance(found, Result) else None


def _usage(error: click.UsageError) -> UsageFailure:
    """The error in Docker's words."""
    where = error.ctx.command_path if error.ctx else "labdock"
    message = error.format_message()
    if isinstance(error, click.NoSuchOption):
        name = error.option_name
        message = (
            f"unknown flag: {name}" if name.startswith("--") else f"unknown shorthand flag: '{name[1:]}' in {name}"
        )
        if error.possibilities:
            return UsageFailure(message, hint="did you mean " + " or ".join(sorted(error.possibilities)[:3]) + "?")
    elif isinstance(error, click.MissingParameter) and isinstance(error.param, click.Argument):
        count = "at least 1 argument" if error.param.nargs == -1 or _takes_more(error) else "1 argument"
        message = f"'{where}' requires {count}"
    elif found := re.match(r"Option '(.*)' requires an argument", message):
        message = f"flag needs an argument: {found[1]}"
    elif found := re.match(r"Got unexpected extra arguments? \((.*)\)", message):
        message = f"'{where}' does not take {found[1]!r}"
    hint = f"{error.ctx.get_usage()}\nSee '{where} --help'." if error.ctx else None
    return UsageFailure(message, hint=hint)


def _takes_more(error: click.MissingParameter) -> bool:
    arguments = [p for p in (error.ctx.command.params if error.ctx else ()) if isinstance(p, click.Argument)]
    return any(argument.nargs == -1 for argument in arguments)
