"""``compose logs``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from labdock.commands import compose
from labdock.commands.compose_output import Interleaved, Query, coloured
from labdock.commands.results import Exited, Result
from labdock.commands.talking import moment
from labdock.commands.tree import command

if TYPE_CHECKING:
    from labdock.commands.face import Face


@command("logs")
@click.option("-f", "--follow", is_flag=True, help="Follow log output")
@click.option("--since", help='Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m")')
@click.option("--until", help='Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m")')
@click.option("-n", "--tail", default="all", help="Number of lines to show from the end of the logs for each container")
@click.option("-t", "--timestamps", is_flag=True, help="Show timestamps")
@click.option("--no-color", is_flag=True, help="Produce monochrome output")
@click.option("--no-log-prefix", is_flag=True, help="Don't print prefix in logs")
@click.option("--index", type=int, default=0, help="index of the container if service has multiple replicas")
@click.argument("services", nargs=-1)
@click.pass_obj
def logs(
    face: Face,
    /,
    services: tuple[str, ...],
    follow: bool,
    since: str | None,
    until: str | None,
    tail: str,
    timestamps: bool,
    no_color: bool,
    no_log_prefix: bool,
    index: int,
) -> Result:
    """View output from containers."""
    from labdock.compose.project import number_of

    deployment = compose.deploy(face, services, by_labels=True)
    deployment.check_names(services)
    found = [each for each in deployment.containers(services) if not index or number_of(each) == index]
    query = Query(follow=follow, tail=tail, since=moment(since), until=moment(until), timestamps=timestamps)
    lines = Interleaved(face.client, found, query, colour=coloured(face, no_color), prefix=not no_log_prefix)
    face.follow(lines)
    return Exited(0)
