"""Reading container logs, as conmon writes them (the Kubernetes log format). In the engine process."""

from __future__ import annotations

from labdock.runtime.logs.format import LogLine
from labdock.runtime.logs.reader import count_bytes, read_batches, read_log, read_pieces, read_plain

__all__ = ["LogLine", "count_bytes", "read_batches", "read_log", "read_pieces", "read_plain"]
