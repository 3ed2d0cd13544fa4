"""What may follow a line that is being typed: commands and options with their help, names that the engine knows.

For the shells' tab key (`completion`) and the magics' alike. ``labdock __complete SHELL LINE`` answers a shell: a line
that says whether its own names of files may follow as well, then what may, a tab, and its help.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from labdock.commands.results import Result, Text
from labdock.commands.tree import LazyGroup, command, overrides, root
from labdock.errors import LabdockError

if TYPE_CHECKING:
    from labdock.commands.face import Face

Found = tuple[str, str]  # text, its help
#: Gives the engine's names of a kind: container, image, network, volume, context.
Names = Callable[[str], list[str]]

#: Options whose values are names of a kind.
VALUES = {
    **{"--network": "network", "--net": "network", "--context": "context", "-c": "context"},
    **{"--volumes-from": "container", "--link": "container"},
}
#: Commands whose arguments are containers, and those whose arguments are images.
OF_CONTAINERS = frozenset(
    "attach commit cp diff exec explain export inspect kill logs pause port rename restart rm start stats stop top "
    "unpause update wait".split()
)
OF_IMAGES = frozenset("create history in inspect push rmi run save tag".split())
#: Commands whose arguments are files as well, or only.
OF_FILES = frozenset("build cp import load".split())


@dataclass
class Candidates:
    """``files``: nothing is known here, so names of files may follow."""

    found: list[Found] = field(default_factory=list)
    files: bool = False


def complete_text(
    start: click.Command, path: list[str], text: str, names: Callable[[dict[str, str]], Names]
) -> Candidates:
    """What may follow *text*, the arguments of the command *start* up to the cursor.

    *path*: what *start* is called when it stands alone. *names* is given the options before the command, as
    environment variables that say which engine is meant. Raises ValueError where a quotation is open.
    """
    incomplete = "" if not text or text[-1].isspace() else text.rsplit(None, 1)[-1]
    words = shlex.split(text[: len(text) - len(incomplete)])
    found: click.Command = start
    context = click.Context(found)
    given: dict[str, Any] = {}
    while isinstance(found, click.Group) and words:
        option = _option(found, words[0])
        if option is not None:
            if not _take(option, words, given):
                return _value(option, words[-1], incomplete, names({}))
            continue
        following = found.get_command(context, words[0])
        if following is None:
            return Candidates()
        path = [*path, words.pop(0)]
        found = following
        context = click.Context(found, parent=context)
    known = names(overrides(given))
    if incomplete.startswith("--") and "=" in incomplete:
        name, _, start_of_value = incomplete.partition("=")
        option = _option(found, name)
        if option is None or option.is_flag:
            return Candidates()
        values = _value(option, name, start_of_value, known)
        return Candidates([(f"{name}={value}", text) for value, text in values.found], values.files)
    if incomplete.startswith("-"):
        return Candidates(_options(found, incomplete))
    if isinstance(found, LazyGroup):
        commands = [(name, found.lazy[name][1]) for name in found.list_commands(context) if name.startswith(incomplete)]
        return Candidates(commands)
    if words and (option := _option(found, words[-1])) is not None and not option.is_flag:
        return _value(option, words[-1], incomplete, known)
    if _is_in_program(found, words):
        return Candidates(files=True)
    argument = next((each for each in found.params if isinstance(each, click.Argument)), None)
    if argument is not None and isinstance(argument.type, click.Choice) and not words:
        return _choices(argument, incomplete)
    kinds = list(_kinds(path, words))
    last = path[-1] if path else ""
    return Candidates(_matching(kinds, incomplete, known), files=last in OF_FILES)


def _option(of: click.Command, word: str) -> click.Option | None:
    """The option that *word* is, with or without ``=VALUE``; of short ones together the last."""
    name = word.partition("=")[0]
    if len(name) > 2 and name.startswith("-") and not name.startswith("--"):
        name = f"-{name[-1]}"
    for each in of.params:
        if isinstance(each, click.Option) and name in (*each.opts, *each.secondary_opts):
            return each
    return None


def _take(option: click.Option, words: list[str], given: dict[str, Any]) -> bool:
    """Take *option* and its value from *words*; False when the value is what is being typed."""
    word = words[0]
    if option.is_flag:
        given[str(option.name)] = True
    elif "=" in word:
        given[str(option.name)] = word.partition("=")[2]
    elif len(words) > 1:
        given[str(option.name)] = words.pop(1)
    else:
        return False
    del words[0]
    return True


def _value(option: click.Option, name: str, incomplete: str, known: Names) -> Candidates:
    if isinstance(option.type, click.Choice):
        return _choices(option, incomplete)
    if kind := next((VALUES[each] for each in (name, *option.opts) if each in VALUES), None):
        return Candidates(_matching([kind], incomplete, known))
    return Candidates(files=True)


def _choices(parameter: click.Parameter, incomplete: str) -> Candidates:
    choices = parameter.type.choices if isinstance(parameter.type, click.Choice) else ()
    return Candidates([(str(each), "") for each in choices if str(each).startswith(incomplete)])


def _matching(kinds: Iterable[str], incomplete: str, known: Names) -> list[Found]:
    return [(name, kind) for kind in kinds for name in known(kind) if name.startswith(incomplete)]


def _options(of: click.Command, incomplete: str) -> list[Found]:
    context = click.Context(of)
    found = []
    for parameter in of.get_params(context):
        for name in (*parameter.opts, *parameter.secondary_opts):
            if name.startswith(incomplete) and name.startswith("-"):
                found.append((name, getattr(parameter, "help", None) or "option"))
    return sorted(found)


def _is_in_program(of: click.Command, words: list[str]) -> bool:
    """After ``run IMAGE`` comes a program's own line, of which nothing is known here."""
    if of.name not in ("run", "create", "exec") or of.context_settings.get("allow_interspersed_args", True):
        return False
    flags = {name for each in of.params if getattr(each, "is_flag", False) for name in each.opts}
    place = 0
    while place < len(words) and words[place].startswith("-"):
        alone = words[place] in flags or "=" in words[place] or set(words[place][1:]) <= {f[1:] for f in flags}
        place += 1 if alone else 2
    return place < len(words)


def _kinds(path: list[str], words: list[str]) -> Iterable[str]:
    last = path[-1] if path else ""
    group = path[0] if len(path) > 1 else ""
    if group == "network" and last in ("connect", "disconnect"):
        yield "container" if any(not word.startswith("-") for word in words) else "network"
    elif group in ("network", "volume", "context"):
        if last not in ("create", "import", "ls", "prune", "show"):
            yield group
    elif last in OF_CONTAINERS and group in ("", "container"):
        yield "container"
    if (last in OF_IMAGES and group in ("", "container")) or group == "image":
        yield "image"
    if (group, last) == ("kernel", "add"):
        yield "image"
    if last == "inspect" and not group:
        yield from ("network", "volume")


def engine_names(environment: Mapping[str, str] | None = None) -> Names:
    """The names that the engine of *environment* knows; none when none answers: completing must not start one."""

    def names(kind: str) -> list[str]:
        from labdock.client import connect

        try:
            if kind == "context":
                import os

                from labdock.client.contexts import ContextStore

                store = ContextStore(os.environ if environment is None else environment)
                return ["default", *(each.name for each in store.all())]
            with connect(environment, start=False) as client:
                if kind == "container":
                    return [container.name for container in client.containers.list(all=True)]
                if kind == "network":
                    return [network.name for network in client.networks.list()]
                if kind == "volume":
                    return [volume.name for volume in client.volumes.list()]
                return [name for image in client.images.list() for name in image.repo_tags]
        except LabdockError:
            return []

    return names


@command("__complete")
@click.argument("shell")
@click.argument("line")
@click.pass_obj
def answer(face: Face, /, shell: str, line: str) -> Result:
    """What may follow LINE, for the scripts that `completion` prints."""
    _program, _, rest = line.lstrip().partition(" ")

    def names(chosen: dict[str, str]) -> Names:
        return engine_names({**face.environment, **chosen})

    try:
        candidates = complete_text(root, [], rest, names)
    except (LabdockError, ValueError):
        candidates = Candidates(files=True)
    # What would not stay on its line, or would say something else to the terminal, is not offered.
    lines = [f"{text}\t{_summary(about)}" for text, about in candidates.found if text.isprintable()]
    return Text("\n".join(["files" if candidates.files else "names", *lines]))


def _summary(text: str) -> str:
    return re.sub(r"\s+", " ", text)[:100]


BASH = """\
# Tab completion of labdock in bash. Now:   eval "$(labdock completion bash)"
# Always:   labdock completion bash > ~/.local/share/bash-completion/completions/labdock
_labdock_complete() {
    local line="${COMP_LINE:0:COMP_POINT}" kind value about
    # bash cuts words at these; what stands before the cut is not to be given again.
    local word="${line##*[[:space:]]}" cut=""
    [[ $COMP_WORDBREAKS == *:* ]] && cut="${word%"${word##*[:=]}"}"
    COMPREPLY=()
    {
        read -r kind || return 0
        while IFS=$'\\t' read -r value about; do
            printf -v value %q "${value#"$cut"}"
            COMPREPLY+=("$value")
        done
    } < <("$1" __complete bash "$line" 2>/dev/null)
    if [[ $kind == files ]]; then compopt -o default; else compopt +o default; fi
}
complete -o default -F _labdock_complete labdock
"""

ZSH = """\
#compdef labdock
# Tab completion of labdock in zsh. Now:   source <(labdock completion zsh)   (after compinit)
# Always:   labdock completion zsh > "${fpath[1]}/_labdock"
_labdock() {
    local -a answer found
    local kind line value about
    answer=("${(@f)$("${words[1]}" __complete zsh "${(j: :)words[1,CURRENT]}" 2>/dev/null)}")
    kind="${answer[1]}"
    for line in "${(@)answer[2,-1]}"; do
        value="${line%%$'\\t'*}" about="${line#*$'\\t'}"
        found+=("${value//:/\\\\:}:$about")
    done
    (( $#found )) && _describe -t labdock labdock found
    [[ $kind == files ]] && _files
    return 0
}
if [[ "$funcstack[1]" == _labdock ]]; then _labdock "$@"; else compdef _labdock labdock; fi
"""

FISH = """\
# Tab completion of labdock in fish. Now:   labdock completion fish | source
# Always:   labdock completion fish > ~/.config/fish/completions/labdock.fish
function __labdock_complete
    set -l words (commandline -opc)
    set -l answer ($words[1] __complete fish (commandline -cp) 2>/dev/null)
    for line in $answer[2..-1]
        echo $line
    end
    if test "$answer[1]" = files
        __fish_complete_path (commandline -ct)
    end
end
complete -c labdock -f -a '(__labdock_complete)'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


@command("completion")
@click.argument("shell", type=click.Choice(sorted(SCRIPTS)))
@click.pass_obj
def completion(face: Face, /, shell: str) -> Result:
    """Print the script that gives bash, zsh or fish tab completion of labdock.

    It completes commands and options, and names of containers, images, networks, volumes and contexts. In bash:

        eval "$(labdock completion bash)"

    The script's first lines say how to keep it for every shell that is opened.
    """
    return Text(SCRIPTS[shell].rstrip("\n"))
