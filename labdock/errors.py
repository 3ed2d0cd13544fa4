"""The error tree, with the HTTP status each error has at the border.

::

    LabdockError                 500  server_error
    ├── InvalidRequest           400  invalid_request
    │   └── DockerfileError      400  dockerfile        (carries a source range)
    ├── Unauthorized             401  unauthorized
    ├── Forbidden                403  forbidden
    ├── NotFound                 404  not_found
    │   ├── NoSuchContainer · NoSuchImage · NoSuchExec · NoSuchNetwork · NoSuchVolume
    ├── Conflict                 409  conflict
    ├── RateLimited              429  rate_limited      (a registry's limit is used up; carries the seconds to wait)
    ├── Unsupported              501  unsupported       (known, not served: says what and why)
    ├── Unavailable              503  unavailable
    │   ├── HostUnfit            503  host_unfit        (the machine lacks something; the hint says what to do)
    │   └── EngineUnreachable    503  engine_unreachable
    └── SystemFailure            500  system_failure    (an OSError or a helper program, translated at the border)
        ├── StorageFull          500  storage_full
        └── Corrupt              500  corrupt           (a digest, a size or a record that does not hold)

A *message* says what was tried, on what and why it failed; a *hint* says what to do next and is kept
apart, so that clients which match on Docker's texts still do. Lower errors are chained (``raise … from``).
"""

from __future__ import annotations

from typing import ClassVar


class LabdockError(Exception):
    """Base of everything labdock raises on purpose."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "server_error"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message

    def explain(self) -> str:
        """The message, then a blank line and the hint when there is one."""
        return f"{self.message}\n\nhint: {self.hint}" if self.hint else self.message


class InvalidRequest(LabdockError):
    """The caller's input can't be taken."""

    status = 400
    code = "invalid_request"


class DockerfileError(InvalidRequest):
    """A Dockerfile that can't be parsed or planned.

    ``line``/``end_line`` are 1-based lines of the Dockerfile (0: unknown), ``column``/``end_column``
    0-based columns in code points, end exclusive (-1: unknown).
    """

    code = "dockerfile"

    def __init__(
        self,
        message: str,
        *,
        line: int = 0,
        end_line: int = 0,
        column: int = -1,
        end_column: int = -1,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.line = line
        self.end_line = end_line or line
        self.column = column
        self.end_column = end_column


class Unauthorized(LabdockError):
    status = 401
    code = "unauthorized"


class Forbidden(LabdockError):
    status = 403
    code = "forbidden"


class NotFound(LabdockError):
    status = 404
    code = "not_found"


class NoSuchContainer(NotFound):
    """``No such container: NAME`` (docker CLI and docker-py match on the words)."""

    code = "no_such_container"

    def __init__(self, name: str) -> None:
        super().__init__(f"No such container: {name}")


class NoSuchImage(NotFound):
    """``No such image: NAME`` (docker-py picks ImageNotFound by the words; the CLI then pulls)."""

    code = "no_such_image"

    def __init__(self, name: str, *, hint: str | None = None) -> None:
        super().__init__(f"No such image: {name}", hint=hint)


class NoSuchExec(NotFound):
    code = "no_such_exec"

    def __init__(self, name: str) -> None:
        super().__init__(f"No such exec instance: {name}")


class NoSuchNetwork(NotFound):
    code = "no_such_network"

    def __init__(self, name: str) -> None:
        super().__init__(f"network {name} not found")


class NoSuchVolume(NotFound):
    code = "no_such_volume"

    def __init__(self, name: str) -> None:
        super().__init__(f"get {name}: no such volume")


class Conflict(LabdockError):
    status = 409
    code = "conflict"


class RateLimited(LabdockError):
    """A registry serves no more for now. ``seconds``: until it says it will again (None: it does not say)."""

    status = 429
    code = "rate_limited"

    def __init__(self, message: str, *, seconds: float | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.seconds = seconds


class Unsupported(LabdockError):
    """Known, and not served: says what was asked for and why there is no answer yet."""

    status = 501
    code = "unsupported"


class Unavailable(LabdockError):
    status = 503
    code = "unavailable"


class HostUnfit(Unavailable):
    """The machine lacks something labdock needs; the hint says what to do and who can do it."""

    code = "host_unfit"


class EngineUnreachable(Unavailable):
    """The engine could not be started or spoken to; carries the engine's own diagnosis."""

    code = "engine_unreachable"


class SystemFailure(LabdockError):
    """A syscall or a helper program failed; the message names it, its object and the errno or output."""

    code = "system_failure"


class StorageFull(SystemFailure):
    code = "storage_full"


class Corrupt(SystemFailure):
    code = "corrupt"
