"""From what a container was asked to be (SpecRequest) to an OCI runtime spec. Pure: reads no file, asks no kernel."""

from __future__ import annotations

from labdock.runtime.spec.build import build_process, build_spec
from labdock.runtime.spec.capabilities import ALL, DEFAULT, choose_capabilities
from labdock.runtime.spec.request import Device, Rlimit, SpecMount, SpecRequest

__all__ = [
    "ALL",
    "DEFAULT",
    "Device",
    "Rlimit",
    "SpecMount",
    "SpecRequest",
    "build_process",
    "build_spec",
    "choose_capabilities",
]
