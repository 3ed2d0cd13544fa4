"""The options of tmpfs mounts: checked, and made of what ``--mount`` says of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labdock.errors import InvalidRequest

#: mount(8)'s flag words that Docker lets through (moby: pkg/mount, validFlags), and tmpfs' own with a value.
_FLAGS = frozenset(
    "defaults ro rw suid nosuid dev nodev exec noexec sync async dirsync remount mand nomand atime noatime diratime "
    "nodiratime bind rbind unbindable runbindable private rprivate shared rshared slave rslave relatime norelatime "
    "strictatime nostrictatime".split()
)
_KEYS = frozenset({"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"})


def check(options: str) -> tuple[str, ...]:
    """The words of ``--tmpfs TARGET:OPTIONS``. Raises InvalidRequest in Docker's words."""
    words = [word for word in options.split(",") if word]
    # quirk: of words with a value Docker checks the name only when it is one of its own, and the kernel refuses the
    # container's start; a word that can't be meant is refused here at once.
    wrong = [word for word in words if word not in _FLAGS and word.partition("=")[0] not in _KEYS]
    if wrong:
        shown = " ".join(f'"{word}"' for word in wrong)
        raise InvalidRequest(f"invalid tmpfs option [{shown}]", hint=f"known: {', '.join(sorted(_KEYS))} and flags")
    return tuple(words)


def convert(options: Mapping[str, Any], read_only: bool) -> tuple[str, ...]:
    """The words that a ``--mount type=tmpfs`` means. Raises InvalidRequest."""
    words = ["ro"] if read_only else []
    size = options.get("SizeBytes") or 0
    if not isinstance(size, int) or size < 0:
        raise InvalidRequest(f'invalid mount config for type "tmpfs": invalid size {size}')
    if size:
        words.append(f"size={size}")
    mode = options.get("Mode") or 0
    if not isinstance(mode, int) or not 0 <= mode <= 0o7777:
        raise InvalidRequest(f'invalid mount config for type "tmpfs": invalid mode {mode}')
    if mode:
        words.append(f"mode={mode:o}")
    for option in options.get("Options") or ():
        if not isinstance(option, list) or not 0 < len(option) <= 2 or not all(isinstance(w, str) for w in option):
            raise InvalidRequest('invalid mount config for type "tmpfs": invalid option array length')
        words += check("=".join(option))
    return tuple(words)
