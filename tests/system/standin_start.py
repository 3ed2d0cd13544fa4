"""`python standin_start.py [MODE]`: labdock.daemon.start, with the stand-in for the engine process.

Prints the outcome as JSON, or the diagnosis on stderr (status 1), as the real one does.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path

from labdock.daemon.start import start
from labdock.errors import LabdockError
from labdock.schema.paths import locate

if __name__ == "__main__":
    command = (sys.executable, "-P", str(Path(__file__).with_name("standin_engine.py")), *sys.argv[1:])
    try:
        outcome = start(locate(os.environ, os.getuid()), os.environ, engine=command, seconds=30)
    except LabdockError as error:
        print(error.explain(), file=sys.stderr)
        sys.exit(1)
    print(json.dumps(dataclasses.asdict(outcome)))
