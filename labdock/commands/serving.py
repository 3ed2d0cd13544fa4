"""``registry serve|stop|status``: the engine's images as a registry for others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from labdock.commands.results import Result, Text, printable
from labdock.commands.tree import command
from labdock.errors import InvalidRequest

if TYPE_CHECKING:
    from labdock.client.registries import Serving
    from labdock.commands.face import Face

LOOPBACK = ("127.", "::1", "localhost")


@command("serve")
@click.option("--address", default="127.0.0.1", show_default=True, help="Address to listen at: 0.0.0.0 for all")
@click.option("--password-stdin", is_flag=True, help="Take the password from standard input")
@click.option("--port", type=click.IntRange(0, 65535), default=5000, show_default=True, help="Port; 0 for any")
@click.option("--read-only", is_flag=True, help="Others may pull, nobody may push")
@click.option("--user", help="Serve only who logs in with this name; its password is asked for")
@click.pass_obj
def serve(face: Face, /, address: str, port: int, user: str | None, password_stdin: bool, read_only: bool) -> Result:
    """Serve the engine's images as a registry, until `registry stop` or the engine's end."""
    password = None
    if password_stdin and not user:
        raise InvalidRequest("the --password-stdin option requires --user to be set")
    if user:
        password = _password(face, password_stdin)
    found = face.client.registries.serve(address=address, port=port, user=user, password=password, read_only=read_only)
    if not address.startswith(LOOPBACK) and not (user or read_only):
        face.say("WARNING! Everybody who reaches this address may pull and push: --user NAME or --read-only limits it.")
    return Served(found)


def _password(face: Face, from_input: bool) -> str:
    if from_input:
        password = face.read_input().decode("utf-8", "replace").rstrip("\r\n")
    else:
        password = face.ask("Password: ", secret=True)
    if not password:
        raise InvalidRequest("password is empty")
    return password


@command("stop")
@click.pass_obj
def stop(face: Face, /) -> Result:
    """Stop serving. The images stay."""
    face.client.registries.stop()
    return Text("The registry is no longer served")


@command("status")
@click.pass_obj
def status(face: Face, /) -> Result:
    """Say whether and where the engine's images are served. Exit code 1 when they are not."""
    found = face.client.registries.serving()
    if not found.running:
        why = f" at {found.host}, though it should be: {found.error}" if found.error else ""
        shown: Result = Text(f"The registry is not served{why}")
        shown.exit_code = 1
        return shown
    return Served(found)


class Served(Result):
    """A registry that is served: ``host`` begins the names of images in it (``127.0.0.1:5000``)."""

    def __init__(self, serving: Serving) -> None:
        self.serving = serving

    @property
    def host(self) -> str:
        return self.serving.host

    @property
    def port(self) -> int:
        return self.serving.port

    def __str__(self) -> str:
        who = f"for {printable(self.serving.user)}" if self.serving.user else "for everybody"
        what = "read only" if self.serving.read_only else "pull and push"
        wide = " and every other address of this machine" if self.serving.address in ("0.0.0.0", "::") else ""  # noqa: S104
        host = printable(self.host)
        return f"Serving at {host}{wide}, {what}, {who}: {host}/NAME:TAG"
