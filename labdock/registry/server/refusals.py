"""What a registry says no with: the specification's codes, each with its HTTP status (distribution-spec v1.1, "Error
Codes"; the statuses beside the endpoints' table)."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from labdock.errors import LabdockError, StorageFull


class Code(StrEnum):
    BLOB_UNKNOWN = "BLOB_UNKNOWN"
    BLOB_UPLOAD_INVALID = "BLOB_UPLOAD_INVALID"
    BLOB_UPLOAD_UNKNOWN = "BLOB_UPLOAD_UNKNOWN"
    DIGEST_INVALID = "DIGEST_INVALID"
    MANIFEST_BLOB_UNKNOWN = "MANIFEST_BLOB_UNKNOWN"
    MANIFEST_INVALID = "MANIFEST_INVALID"
    MANIFEST_UNKNOWN = "MANIFEST_UNKNOWN"
    NAME_INVALID = "NAME_INVALID"
    NAME_UNKNOWN = "NAME_UNKNOWN"
    SIZE_INVALID = "SIZE_INVALID"
    UNAUTHORIZED = "UNAUTHORIZED"
    DENIED = "DENIED"
    UNSUPPORTED = "UNSUPPORTED"
    TOOMANYREQUESTS = "TOOMANYREQUESTS"
    #: Not in the specification; github.com/distribution/distribution has it, and clients print what they don't know.
    UNKNOWN = "UNKNOWN"


STATUS = {
    Code.BLOB_UNKNOWN: 404,
    Code.BLOB_UPLOAD_INVALID: 400,
    Code.BLOB_UPLOAD_UNKNOWN: 404,
    Code.DIGEST_INVALID: 400,
    Code.MANIFEST_BLOB_UNKNOWN: 404,
    Code.MANIFEST_INVALID: 400,
    Code.MANIFEST_UNKNOWN: 404,
    Code.NAME_INVALID: 400,
    Code.NAME_UNKNOWN: 404,
    Code.SIZE_INVALID: 400,
    Code.UNAUTHORIZED: 401,
    Code.DENIED: 403,
    Code.UNSUPPORTED: 405,
    Code.TOOMANYREQUESTS: 429,
    Code.UNKNOWN: 500,
}


class Refusal(LabdockError):
    """A request that is not served. ``http``: its status; ``headers``: what the answer carries besides."""

    def __init__(
        self,
        kind: Code,
        message: str,
        *,
        http: int = 0,
        headers: dict[str, str] | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind
        self.http = http or STATUS[kind]
        self.headers = headers or {}

    def body(self) -> bytes:
        """``{"errors": [{"code", "message", "detail"}]}``; the hint is the detail."""
        error: dict[str, object] = {"code": self.kind.value, "message": self.message}
        if self.hint:
            error["detail"] = {"hint": self.hint}
        return msgspec.json.encode({"errors": [error]}) + b"\n"


def refuse(error: LabdockError) -> Refusal:
    """The refusal that tells *error*, which the engine raised."""
    if isinstance(error, Refusal):
        return error
    # Insufficient Storage (RFC 4918): a client that repeats on 500 does not repeat on it at once.
    status = 507 if isinstance(error, StorageFull) else error.status
    kinds = {400: Code.MANIFEST_INVALID, 403: Code.DENIED, 404: Code.MANIFEST_UNKNOWN, 409: Code.DENIED}
    return Refusal(kinds.get(status, Code.UNKNOWN), error.message, http=status, hint=error.hint)
