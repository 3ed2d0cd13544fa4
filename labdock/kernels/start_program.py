"""Runs inside the image: starts ipykernel, and ends it when the launcher outside has ended.

It is put into the kernel's folder as ``start.py`` and has to be content with any Python from 3.7 on.
"""

import fcntl
import os
import signal
import sys
import threading


def end_with(path: str) -> None:
    """Wait until nobody holds the lock on *path* any more, then end this process at once."""
    with open(path, "rb") as held:
        while True:
            try:
                fcntl.flock(held, fcntl.LOCK_SH)
                break
            except InterruptedError:
                continue
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    folder = os.path.dirname(os.path.abspath(__file__))
    # A kernel finds modules in the notebook's folder, not beside this file.
    sys.path[:] = [path for path in sys.path if path and os.path.abspath(path) != folder]
    threading.Thread(target=end_with, args=(os.path.join(folder, "alive"),), name="lifeline", daemon=True).start()
    from ipykernel import kernelapp

    kernelapp.launch_new_instance()


if __name__ == "__main__":
    main()
