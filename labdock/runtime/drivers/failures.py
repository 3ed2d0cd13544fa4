"""crun's and conmon's words, made into the errors that Docker's clients know.

The docker CLI ends with 127 when it reads "executable file not found" and with 126 for "permission denied"
(cli/command/container/run.go, toStatusError).
"""

from __future__ import annotations

import re

from labdock.errors import InvalidRequest, LabdockError, SystemFailure

#: How Docker (containerd with runc) opens each message of the kind.
CREATE = "failed to create task for container: failed to create shim task: OCI runtime create failed: "
EXEC = "OCI runtime exec failed: exec failed: "
_START = "unable to start container process: "

_NOT_FOUND = re.compile(r"executable file [`'\"]?(?P<name>.*?)[`'\"]? not found in \$PATH")
_OPEN = re.compile(r"open executable: (?P<why>.*)")
_CHDIR = re.compile(r"chdir(?: to)? [`'\"](?P<name>.*?)[`'\"]: (?P<why>.*)")
_MOUNT = re.compile(r"mount `(?P<source>.*)` to `(?P<target>.*?)`: Not a directory")
_WRONG_KIND = (
    "Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is "
    "the expected type"
)
_PREFIX = re.compile(
    r"^(?:\d{4}-\d\d-\d\dT[\d:.]+Z?:? ?|\[conmon:[a-z]\]: ?|conmon [0-9a-f]+ <\w+>: ?|crun: ?|error: ?)+"
)


def clean(text: str) -> str:
    """*text* without the programs' own prefixes and times: its last line that says something."""
    lines = [_PREFIX.sub("", line.strip()) for line in text.splitlines()]
    said = [line for line in lines if line]
    return said[-1] if said else ""


def translate(text: str, program: str, opening: str) -> LabdockError:
    """The error for what the runtime said (*text*) about running *program*. *opening*: CREATE or EXEC."""
    words = clean(text)
    if match := _NOT_FOUND.search(words):
        name = match["name"]
        why = "no such file or directory" if "/" in name else "executable file not found in $PATH"
        verb = f"exec: {_quote(name)}: {'stat ' + name + ': ' if '/' in name else ''}{why}"
        return InvalidRequest(f"{opening}{_START}{verb}: unknown")
    if match := _OPEN.search(words):
        why = match["why"].lower().replace("operation not permitted", "permission denied")
        return InvalidRequest(f"{opening}{_START}exec: {_quote(program)}: {why}: unknown")
    if match := _CHDIR.search(words):
        name, why = match["name"], match["why"]
        return InvalidRequest(
            f"{opening}{_START}chdir to cwd ({_quote(name)}) set in config.json failed: {why.lower()}: unknown"
        )
    if match := _MOUNT.search(words):
        source, target = match["source"], "/" + match["target"].lstrip("/")
        return InvalidRequest(
            f"{opening}{_START}error during container init: error mounting {_quote(source)} to rootfs at "
            f"{_quote(target)}: mount {source}:{target}: not a directory: unknown: {_WRONG_KIND}"
        )
    return SystemFailure(f"{opening}{words or 'the runtime ended without a word'}: unknown")


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
