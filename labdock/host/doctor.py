"""`python -m labdock.host.doctor [--json]`: each probe, what it costs, the setting that lifts it, who can set it.

Tries the sandbox for real, in one of its own; no engine is needed, and one that runs is not disturbed.
Status 0 when containers can run here, 1 when not.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from labdock.errors import HostUnfit, LabdockError
from labdock.host import delegation, inside, sandbox, survey
from labdock.host.plan import Plan, Probe
from labdock.schema.paths import locate


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """``plan`` None: nothing can run here, for the reason in ``problem`` and with the remedy in ``hint``."""

    plan: Plan | None
    probes: tuple[Probe, ...]
    problem: str = ""
    hint: str = ""


def diagnose(data: Path, environment: Mapping[str, str], uid: int, gid: int) -> Diagnosis:
    """Probe everything, for a store in *data* (tried where it is, or where it would be made).

    May move this process to another cgroup, as an engine's start does.
    """
    outside = survey.probe_outside(data, environment, uid)
    seen: tuple[Probe, ...] = ()
    try:
        found = survey.survey(data, environment, uid, gid)
        try:
            groups = delegation.obtain(environment, uid)
            found = replace(found, probes=(*found.probes, groups.probe), notices=(*found.notices, *groups.notices))
            outside = found.probes
            try:
                settled = _try_sandbox(data, found, groups)
            finally:
                groups.clear()
        except HostUnfit as error:
            seen = (_refuse_namespaces(error),)
            raise
        seen = (Probe("user namespaces", True, detail="made, with id maps"), *settled.probes)
        plan = survey.conclude(found, settled)
    except LabdockError as error:
        return Diagnosis(None, (*outside, *seen), error.message, error.hint or "")
    return Diagnosis(plan, (*outside, *seen))


def _refuse_namespaces(error: HostUnfit) -> Probe:
    cause = error.__cause__
    code = ""
    if isinstance(cause, OSError) and cause.errno:
        import errno

        code = errno.errorcode.get(cause.errno, "")
    return Probe(
        "user namespaces", False, code, error.message, "containers can't run", error.hint or "", "an administrator"
    )


def _try_sandbox(data: Path, found: survey.Survey, groups: delegation.Delegation) -> inside.Inside:
    """Settle a sandbox that ends at once; raises HostUnfit."""
    near = data
    while not near.is_dir():
        near = near.parent
    with tempfile.TemporaryDirectory(
        prefix="labdock-doctor-", dir=near if os.access(near, os.W_OK) else None
    ) as folder:
        if found.identity.kind == "root-mapped":
            os.chown(folder, found.identity.uid, found.identity.gid)
        read, write = os.pipe()

        def main() -> int:
            os.close(read)
            fuse, own = found.tools.get("fuse-overlayfs"), groups.base is not None
            seen = inside.settle(Path(folder), fuse, networked=True, own_group=own)
            with os.fdopen(write, "w") as out:
                json.dump(dataclasses.asdict(seen), out)
            return 0

        try:
            with groups.enclose(found.identity):
                box = sandbox.spawn(found.identity.maps, main, found.tools)
        except BaseException:
            os.close(read)
            raise
        finally:
            os.close(write)
        with os.fdopen(read) as answer:
            text = answer.read()
        os.waitpid(box.pid, 0)
        os.close(box.pidfd)
    if not text:
        raise HostUnfit("settling a sandbox failed; its traceback is above")
    fields = json.loads(text)
    probes = tuple(Probe(**probe) for probe in fields.pop("probes"))
    return inside.Inside(controllers=tuple(fields.pop("controllers")), probes=probes, **fields)


def as_json(diagnosis: Diagnosis) -> dict[str, object]:
    """``fit``, ``rung``, ``identity``, ``notices``, ``problem``, ``hint``, ``probes``."""
    plan = diagnosis.plan
    return {
        "fit": plan is not None,
        "rung": plan.rung if plan else "",
        "identity": plan.identity if plan else "",
        "notices": list(plan.notices) if plan else [],
        "problem": diagnosis.problem,
        "hint": diagnosis.hint,
        "probes": [dataclasses.asdict(probe) for probe in diagnosis.probes],
    }


def as_text(diagnosis: Diagnosis) -> str:
    """For a terminal of any kind: no colour, one probe a line, what is lacking explained below it."""
    width = max(len(probe.name) for probe in diagnosis.probes)
    lines = []
    for probe in diagnosis.probes:
        mark = "ok  " if probe.ok and not probe.cost else "less" if probe.ok else "no  "
        code = f"{probe.errno}: " if probe.errno else ""
        lines.append(f"{mark}  {probe.name:<{width}}  {code}{probe.detail}")
        indent = " " * (width + 8)
        if probe.cost:
            lines.append(f"{indent}cost: {probe.cost}")
        if probe.lift:
            lines.append(f"{indent}lift: {probe.lift}" + (f" ({probe.who})" if probe.who else ""))
    lines.append("")
    if diagnosis.plan is not None:
        plan = diagnosis.plan
        lines.append(f"Containers can run here: rung {plan.rung}, {plan.identity}, {plan.snapshotter}, {plan.egress}.")
        lines.extend(f"notice: {notice}" for notice in plan.notices)
    else:
        lines.append(f"Containers can't run here: {diagnosis.problem}")
        if diagnosis.hint:
            lines.extend(("", f"hint: {diagnosis.hint}"))
    return "\n".join(lines)


def main() -> int:
    uid = os.getuid()
    diagnosis = diagnose(locate(os.environ, uid).data, os.environ, uid, os.getgid())
    print(json.dumps(as_json(diagnosis), indent=2) if "--json" in sys.argv[1:] else as_text(diagnosis))
    return 0 if diagnosis.plan is not None else 1


if __name__ == "__main__":
    sys.exit(main())
