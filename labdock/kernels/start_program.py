"""Runs inside the image: starts ipykernel, and ends it when the launcher outside has ended.

It is put into the kernel's folder as ``start.py`` and has to be content with any Python from 3.7 on.
"""

import contextlib
import fcntl
import os
import signal
import socket
import sys
import threading
from typing import Any


def end_with(path: str) -> None:
    """Wait until nobody holds the lock on *path* any more, then end this process at once."""
    with open(path, "rb") as held:
        while True:
            try:
                fcntl.flock(held, fcntl.LOCK_SH)
                break
            except InterruptedError:
                continue
    # Sockets and the secret go at once; of the folder itself the next start takes care.
    folder = os.path.dirname(path)
    for name in os.listdir(folder):
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(folder, name))
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    folder = os.path.dirname(os.path.abspath(__file__))
    # A kernel finds modules in the notebook's folder, not beside this file.
    sys.path[:] = [path for path in sys.path if path and os.path.abspath(path) != folder]
    threading.Thread(target=end_with, args=(os.path.join(folder, "alive"),), name="lifeline", daemon=True).start()
    from ipykernel import kernelapp

    app: Any = kernelapp.IPKernelApp.instance()
    app.initialize()
    if os.geteuid():
        # quirk: whoever connects to a unix socket needs the right to write to it, and the one outside is not this user.
        # Nobody else can reach them: the folder above this one lets only its owner in.
        for name in os.listdir(folder):
            if name.startswith("s-"):
                os.chmod(os.path.join(folder, name), 0o777)
    # Whoever wants to know that the sockets are there listens here.
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as ready:
        ready.connect(os.path.join(folder, "ready"))
    app.start()


if __name__ == "__main__":
    main()
