"""``login``, ``logout``, ``search``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec

from labdock.client import names
from labdock.commands import units
from labdock.commands.filters import filters
from labdock.commands.pulling import credentials_for
from labdock.commands.results import Result, Row, Text, render
from labdock.commands.tree import command
from labdock.errors import InvalidRequest, Unauthorized

if TYPE_CHECKING:
    from labdock.client.credentials import Auth
    from labdock.client.keyring import Keyring
    from labdock.client.registries import Found
    from labdock.commands.face import Face


def _keyring(face: Face) -> Keyring:
    from labdock.client.keyring import Keyring

    return face.client.keyring or Keyring()


@command("login")
@click.option("-p", "--password", help="Password or personal access token (it shows in the list of processes)")
@click.option("--password-stdin", is_flag=True, help="Take the password from standard input")
@click.option("-u", "--username", help="Username")
@click.argument("server", required=False)
@click.pass_obj
def login(
    face: Face, /, server: str | None, username: str | None, password: str | None, password_stdin: bool
) -> Result:
    """Log in to a registry (Docker Hub when no server is named); the docker command then knows it too."""
    from labdock.client.credentials import Auth

    if password_stdin and password is not None:
        raise InvalidRequest("conflicting options: cannot specify both --password and --password-stdin")
    if password_stdin and not username:
        raise InvalidRequest("the --password-stdin option requires --username to be set")
    key = names.server_key(server)
    if not username and password is None and (known := credentials_for(face, key)):
        face.say(f"Authenticating with existing credentials... [Username: {known.username}]")
        try:
            return _log_in(face, msgspec.structs.replace(known, server=key))
        except Unauthorized as error:
            face.say(f"Login did not succeed, error: {error.message}")
    if password_stdin:
        password = _given_password(face)
    elif password is not None:
        face.say("WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
    username = username or face.ask("Username: ").strip()
    if not username:
        raise InvalidRequest("username is empty")
    password = face.ask("Password: ", secret=True) if password is None else password
    if not password:
        raise InvalidRequest("password is empty")
    return _log_in(face, Auth(username, password, key))


def _given_password(face: Face) -> str:
    if face.keeps_results:
        face.say("note: this password stands in the notebook now; `login -u NAME` asks for it without keeping it")
    try:
        return face.read_input().decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise InvalidRequest("the password on standard input is no UTF-8 text") from None


def _log_in(face: Face, auth: Auth) -> Result:
    """Have the engine try *auth*, then keep it."""
    keyring = _keyring(face)
    said, token = face.client.registries.login(auth)
    if token:
        auth = msgspec.structs.replace(auth, password="", identity_token=token)
    before = None if keyring.path.exists() is False else keyring.read().find(auth.server)
    if not keyring.store(auth.server, auth) and before != auth:
        face.say(
            f"\nWARNING! Your credentials are stored unencrypted in '{keyring.path}'.\n"
            "Configure a credential helper to remove this warning. See\n"
            "https://docs.docker.com/go/credential-store/\n"
        )
    return Text(said or "Login Succeeded")


@command("logout")
@click.argument("server", required=False)
@click.pass_obj
def logout(face: Face, /, server: str | None) -> Result:
    """Log out from a registry (Docker Hub when no server is named)."""
    key = names.server_key(server)
    _keyring(face).erase(key)
    return Text(f"Removing login credentials for {key}")


SEARCH_COLUMNS = (
    ("NAME", "Name"),
    ("DESCRIPTION", "Description"),
    ("STARS", "StarCount"),
    ("OFFICIAL", "IsOfficial"),
)


@command("search")
@click.option("-f", "--filter", "conditions", multiple=True, help="Filter output based on conditions provided")
@click.option("--format", "form", help="Format output using a Go template, or json")
@click.option("--limit", type=click.IntRange(0, 100), default=0, help="Max number of search results")
@click.option("--no-trunc", is_flag=True, help="Don't truncate output")
@click.argument("term")
@click.pass_obj
def search(
    face: Face, /, term: str, conditions: tuple[str, ...], form: str | None, limit: int, no_trunc: bool
) -> Result:
    """Search a registry for images: Docker Hub, or HOST/TERM."""
    auth = credentials_for(face, names.parse(term).key)
    found = face.client.registries.search(term, limit=limit, filters=filters(conditions), auth=auth)
    rows = [_search_row(hit, whole=no_trunc, plain=form == "json") for hit in found]
    return render(found, rows, SEARCH_COLUMNS, form=form, cell=_search_cell, empty="nothing found")


def _search_row(hit: Found, *, whole: bool, plain: bool) -> dict[str, Any]:
    description = hit.description.replace("\n", " ").replace("\r", " ")
    official = str(hit.is_official).lower() if plain else "[OK]" if hit.is_official else ""
    return {
        "Name": hit.name,
        "Description": description if whole else units.elide(description, 45),
        "StarCount": str(hit.star_count),
        "IsOfficial": official,
    }


def _search_cell(field: str, row: Row) -> str | None:
    from labdock.commands import html

    return f"<b>{html.escape(row['Name'])}</b>" if field == "Name" else None
