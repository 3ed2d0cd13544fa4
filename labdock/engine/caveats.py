"""What a create request asks for and this machine can't give: words for ``Warnings``. Nothing is dropped in silence."""

from __future__ import annotations

from collections.abc import Collection

from labdock.engine.limits import warn_of_limits
from labdock.engine.rlimits import bound_rlimits, bound_score
from labdock.engine.security import parse_security
from labdock.schema.container import HostConfig

#: HostConfig members that mean something only to other engines: member → what is said of it.
_IDLE = {
    "cgroup_parent": "all groups are below the engine's own",
    "device_cgroup_rules": "rules on devices are programs that only the host's root may load",
    "storage_opt": "a container's size is not limited",
    "oom_kill_disable": "cgroup v2 has no such switch",
}


def warn(host: HostConfig, *, controls: Collection[str]) -> tuple[str, ...]:
    """One sentence for each wish that is not, or not wholly, fulfilled."""
    found = warn_of_limits(host, controls)
    for member, why in _IDLE.items():
        if getattr(host, member):
            name = "".join(part.capitalize() for part in member.split("_"))
            found.append(f"{name} is not kept by this engine: {why}. Discarded.")
    for device in host.devices or ():
        if device.cgroup_permissions not in ("", "rwm"):
            found.append(
                f"The permissions {device.cgroup_permissions!r} of {device.path_on_host} need a device controller; "
                "those of the device itself count."
            )
    for option in parse_security(host).unkept:
        found.append(f"Security option {option!r} needs a security module this engine can't drive. Discarded.")
    found += bound_rlimits(host)[1]
    if bound_score(host)[1]:
        found.append("OomScoreAdj can't be lowered without root; the engine's own is kept.")
    return tuple(found)
