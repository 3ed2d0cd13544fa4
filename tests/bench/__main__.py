"""``python -m tests.bench``: start the engines, measure in turns, say the ratios."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from tests.bench import builds, crowds, files, measures, networks, notebooks, projects, report, storage
from tests.bench.archive import write_archive
from tests.bench.engines import Engine, EngineMissing, Place, start_docker, start_labdock, start_podman, started
from tests.bench.travels import Travels

PARTS = ("containers", "files", "networks", "images", "builds", "storage", "notebook", "compose")
STARTERS = {"podman": start_podman, "docker": start_docker, "labdock": start_labdock}


def main() -> int:
    options = _parse()
    if os.geteuid() == 0:
        print("the bench measures rootless engines: run it as an unprivileged user (make bench does)", file=sys.stderr)
        return 2
    _bound(options.limit)
    place = Place(Path(os.environ["HOME"]), Path(os.environ["XDG_RUNTIME_DIR"]))
    notes: list[str] = []
    with ExitStack() as stack:
        engines = _start(options.engines, place, stack, notes)
        if not engines:
            return 1
        rows: list[report.Row] = []
        amounts: list[report.Amount] = []
        if {"containers", "files", "networks", "builds", "notebook", "compose"} & set(options.parts):
            _load(engines, place)
        if "containers" in options.parts:
            rows += _measure_containers(engines, options)
            rows += _measure_crowds(engines, options)
            growth = crowds.measure_idle(engines, options.settle)
            amounts.append(report.Amount("growth for each idle container, MiB PSS", 0.3, growth))
            time.sleep(options.settle)
        if "networks" in options.parts:
            rows += _measure_networks(engines, options, notes)
        memory = measures.measure_memory(engines)
        if "files" in options.parts:
            found = files.measure(engines, rounds=options.file_rounds)
            rows += [report.Row(f"{title}, docker-py", 1.0, times, _peers(engines)) for title, times in found.items()]
        if "images" in options.parts:
            rows += _measure_images(engines, place, options, notes)
        if "builds" in options.parts:
            rows += _measure_builds(engines, options, place)
        if "notebook" in options.parts:
            rows += notebooks.measure(engines, rounds=options.rounds, warmup=options.warmup, home=place.home)
        if "compose" in options.parts:
            few = {"rounds": options.compose_rounds, "warmup": 1}
            rows += projects.measure(engines, **few, home=place.home, notes=notes)
        if "storage" in options.parts and any(engine.name == report.OURS for engine in engines):
            rows.append(_measure_storage(engines, options, place))
    print(report.table(engines, rows, memory, notes, amounts))
    if options.json:
        report.save(options.json, engines, rows, memory, notes, amounts)
    return 0


def _measure_containers(engines: list[Engine], options: argparse.Namespace) -> list[report.Row]:
    counts = {"rounds": options.rounds, "warmup": options.warmup}
    peers = _peers(engines)
    return [
        report.Row("create+start+wait+remove, docker-py", 0.12, measures.measure_run(engines, **counts), peers),
        report.Row("exec, docker-py", 0.4, measures.measure_exec(engines, **counts), peers),
        report.Row("run --rm, own command line", 1.0, measures.measure_command(engines, **counts), ("podman",)),
    ]


def _measure_crowds(engines: list[Engine], options: argparse.Namespace) -> list[report.Row]:
    """Goals: six times the containers per second, half the time of a list, no slower writing, reading in half."""
    peers = _peers(engines)
    count = crowds.CLIENTS * crowds.EACH
    written, read = crowds.measure_log(engines, rounds=options.crowd_rounds)
    return [
        report.Row(
            f"{count} containers by {crowds.CLIENTS} clients",
            round(1 / 6, 3),
            crowds.measure_crowd(engines, rounds=options.crowd_rounds),
            peers,
        ),
        report.Row(
            f"list of {crowds.LISTED} containers", 0.5, crowds.measure_listing(engines, rounds=options.rounds), peers
        ),
        report.Row(f"log of {crowds.LINES:,} lines, written", 1.0, written, peers),
        report.Row(f"log of {crowds.LINES:,} lines, read", 0.5, read, peers),
    ]


def _measure_networks(engines: list[Engine], options: argparse.Namespace, notes: list[str]) -> list[report.Row]:
    peers, few = _peers(engines), options.image_rounds
    with networks.settled(engines) as towns:
        rows = [
            report.Row(
                "start on a network of one's own",
                0.12,
                networks.measure_start(towns, rounds=options.rounds, warmup=options.warmup),
                peers,
            ),
            report.Row(
                f"published port, {networks.MIB} MiB", 1.0, networks.measure_download(towns, rounds=few), ("podman",)
            ),
            report.Row(
                f"published port, {networks.REQUESTS} connections",
                1.0,
                networks.measure_connections(towns, rounds=few),
                ("podman",),
            ),
            report.Row(
                f"{networks.LOOK_UPS} look-ups of a name", 1.0, networks.measure_names(towns, rounds=few), ("podman",)
            ),
        ]
        for name, town in towns.items():
            rate, lost = networks.flood(town)
            notes.append(f"names, {name}: {rate:,.0f} look-ups per second, {lost} lost")
        if networks.CROWD and report.OURS in towns:
            notes.append(f"names, {report.OURS}: {networks.measure_crowd(towns[report.OURS])}")
    return rows


def _measure_builds(engines: list[Engine], options: argparse.Namespace, place: Place) -> list[report.Row]:
    home = place.home
    few = {"rounds": options.build_rounds, "warmup": 1}
    with builds.opened_builders(engines) as builders:
        peers = tuple(b.name for b in builders if b.name != report.OURS)
        return [
            report.Row("build, 8 RUN steps, not cached", 0.2, builds.measure_steps(builders, home, **few), peers),
            report.Row(
                "build, the same, all cached",
                0.6,
                builds.measure_cached(builders, home, rounds=options.rounds, warmup=options.warmup),
                peers,
            ),
            report.Row(
                "build, COPY of 8,000 files + 384 MiB",
                0.4,
                builds.measure_copy(builders, home, rounds=options.build_rounds, pause=options.pause),
                peers,
            ),
            report.Row(
                "build, one of 10,000 files changed",
                0.5,
                builds.measure_change(builders, home, **few, pause=options.pause),
                peers,
            ),
        ]


def _measure_images(
    engines: list[Engine], place: Place, options: argparse.Namespace, notes: list[str]
) -> list[report.Row]:
    peers = _peers(engines)
    rounds = options.image_rounds
    with ExitStack() as stack:
        travels = Travels(engines, place, stack)
        pulled = travels.measure_pull(rounds)
        rows = [
            report.Row("pull, three layers of 421 MiB", 0.5, pulled, peers),
            report.Row("load", 0.5, travels.measure_load(rounds), peers),
            report.Row("save", 0.5, travels.measure_save(rounds), peers),
            report.Row("push", 0.8, travels.measure_push(rounds), peers),
        ]
        bound = travels.measure_bound(rounds)
    notes.append(
        f"beside the pull: skopeo copy to a folder {pulled['skopeo'].median * 1000:.0f} ms; "
        f"sha256, gunzip and sha256 of the layers on one core {bound * 1000:.0f} ms"
    )
    return rows


def _measure_storage(engines: list[Engine], options: argparse.Namespace, place: Place) -> report.Row:
    """A start costs the same whatever the image holds, but for what the smallest image's takes."""
    series = storage.measure_starts(engines, place, rounds=options.rounds, warmup=options.warmup)
    return report.Row("start on 1 GiB in 50,000 files", 1.1, series, (storage.SMALL,))


def _peers(engines: list[Engine]) -> tuple[str, ...]:
    return tuple(e.name for e in engines if e.name != report.OURS)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("engines", nargs="*", default=list(STARTERS), help="podman, docker, labdock (all of them)")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--crowd-rounds", type=int, default=3, help="rounds of what many clients or lines do")
    parser.add_argument("--image-rounds", type=int, default=3, help="rounds of what takes seconds")
    parser.add_argument("--compose-rounds", type=int, default=5, help="rounds of projects that come and go")
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--build-rounds", type=int, default=3, help="rounds of builds that are not cached")
    parser.add_argument(
        "--pause", type=float, default=0.0, help="seconds of quiet before builds of many files (65: ext4)"
    )
    parser.add_argument("--file-rounds", type=int, default=3, help="rounds of copies of 100 MiB and 10,000 files")
    parser.add_argument("--settle", type=float, default=3.0, help="seconds of quiet before memory is read")
    parser.add_argument("--limit", type=int, default=900, help="seconds after which everything is ended")
    parser.add_argument("--json", type=Path, help="write all figures there")
    options = parser.parse_args()
    unknown = set(options.engines) - set(STARTERS)
    if unknown:
        parser.error(f"unknown engine: {', '.join(sorted(unknown))}")
    return options


def _bound(limit: int) -> None:
    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"the bench took longer than {limit} s")

    signal.signal(signal.SIGALRM, ring)
    signal.alarm(limit)


def _start(names: list[str], place: Place, stack: ExitStack, notes: list[str]) -> list[Engine]:
    engines = []
    for name in names:
        try:
            engines.append(stack.enter_context(started(STARTERS[name], place)))
        except EngineMissing as error:
            notes.append(f"left out: {error}")
            print(f"left out: {error}", file=sys.stderr)
    return engines


def _load(engines: list[Engine], place: Place) -> None:
    archive = place.home / "bench.tar"
    write_archive(Path("/bin/busybox"), archive)
    for engine in engines:
        client = engine.client()
        try:
            client.images.load(archive.read_bytes())
        finally:
            client.close()


if __name__ == "__main__":
    sys.exit(main())
