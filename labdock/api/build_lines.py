"""A build's typed events as the lines that Docker's classic builder writes. Pure.

Clients read these: the docker CLI prints ``stream`` as it is and exits with ``errorDetail.code``; docker-py takes
the image id from a line that matches ``(^Successfully built |sha256:)([0-9a-f]+)$``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from labdock.schema.build import (
    BuildDone,
    BuildEvent,
    BuildFailed,
    BuildNotice,
    StepCached,
    StepDone,
    StepOutput,
    StepRunning,
    StepStarted,
)
from labdock.schema.ids import short_id

Line = dict[str, Any]


class BuildLines:
    """Renders one build. *quiet*: only the image's id, or the error. *rm*: step containers are removed."""

    def __init__(self, *, quiet: bool = False, rm: bool = True) -> None:
        self._quiet = quiet
        self._rm = rm
        self._containers: dict[int, str] = {}

    def render(self, event: BuildEvent) -> Iterator[Line]:
        if isinstance(event, BuildFailed):
            yield from self._failed(event)
        elif isinstance(event, BuildDone) and self._quiet:
            yield {"stream": f"{_full(event.image)}\n"}
        elif not self._quiet:
            for text in self._texts(event):
                yield {"stream": text}
            if isinstance(event, BuildDone):
                yield from _built(event)

    def _texts(self, event: BuildEvent) -> Iterator[str]:
        match event:
            case StepStarted():
                yield f"Step {event.step}/{event.total} : {event.text}"
                yield "\n"
            case StepCached():
                yield " ---> Using cache\n"
            case StepRunning():
                self._containers[event.step] = event.container
                yield f" ---> Running in {short_id(event.container)}\n"
            case StepOutput(stream="stderr"):
                yield f"\x1b[91m{event.text}\x1b[0m"
            case StepOutput():
                yield event.text
            case StepDone():
                container = self._containers.pop(event.step, None)
                if container is not None and self._rm:
                    yield f" ---> Removed intermediate container {short_id(container)}\n"
                yield f" ---> {short_id(event.state)}\n"
            case BuildNotice(check=""):
                # Words of Docker stand for themselves: "[Warning] One or more …", "# Executing 1 build trigger".
                own = event.text.startswith(("[Warning] ", "# "))
                yield f"{event.text}\n" if own else f" ---> [Warning] {event.text}\n"
            case BuildNotice():
                yield f" ---> [Warning] {event.check}: {event.text} (line {event.line})\n"

    def _failed(self, event: BuildFailed) -> Iterator[Line]:
        detail: Line = {"message": event.message}
        if event.exit_code:
            detail["code"] = event.exit_code
        if event.hint:
            detail["hint"] = event.hint
        yield {"errorDetail": detail, "error": event.message}


def _built(event: BuildDone) -> Iterator[Line]:
    yield {"aux": {"ID": _full(event.image)}}
    yield {"stream": f"Successfully built {short_id(event.image)}\n"}
    for name in event.names:
        yield {"stream": f"Successfully tagged {name}\n"}


def _full(image: str) -> str:
    return image if image.startswith("sha256:") else f"sha256:{image}"
