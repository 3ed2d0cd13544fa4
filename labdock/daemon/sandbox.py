"""The sandbox by the name that the other rooms know (host/ owns it: probing tries the real thing)."""

from __future__ import annotations

from labdock.host.sandbox import KINDS, Sandbox, spawn, write_maps

__all__ = ["KINDS", "Sandbox", "spawn", "write_maps"]
