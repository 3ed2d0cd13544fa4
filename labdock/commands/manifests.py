"""``manifest``: lists of one image for several platforms, put together here and pushed, and what registries have."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
import msgspec

from labdock.client import names
from labdock.commands.pulling import credentials_for
from labdock.commands.results import Result, Text
from labdock.commands.tree import command
from labdock.errors import InvalidRequest, LabdockError, NotFound

if TYPE_CHECKING:
    from labdock.client.manifests import Entry, ManifestLists
    from labdock.client.names import Name
    from labdock.commands.face import Face

INSECURE = "Accepted for docker's sake: the engine's settings decide about http"


class Manifest(Result):
    """A manifest as its registry sent it: ``document`` (parsed), ``media_type``, ``digest``, ``data`` (bytes).

    ``shown`` is what is printed instead of it: more, or a list that is here only.
    """

    def __init__(self, data: bytes, media_type: str, digest: str, *, shown: Any = None) -> None:
        self.data, self.media_type, self.digest = data, media_type, digest
        try:
            self.document: dict[str, Any] = msgspec.json.decode(data, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise LabdockError("the registry's manifest is no JSON object") from error
        self._shown = shown

    def __str__(self) -> str:
        if self._shown is not None or "manifests" not in self.document:
            return json.dumps(self.document if self._shown is None else self._shown, indent="\t", ensure_ascii=False)
        # Docker shows what it would push.
        return json.dumps(self.document, indent=3, ensure_ascii=False)


def _lists(face: Face) -> ManifestLists:
    from labdock.client.manifests import ManifestLists

    return ManifestLists(face.environment)


def _fetch(face: Face, name: Name) -> Entry:
    """The manifest that a registry has as *name*, and its platform. Raises InvalidRequest for a list."""
    from labdock.client.manifests import INDEXES, Entry

    auth = credentials_for(face, name.key)
    registries = face.client.registries
    data, media_type, digest = registries.manifest(str(name), auth=auth)
    if media_type in INDEXES:
        raise InvalidRequest(f"{name} is a manifest list")
    found = registries.distribution(f"{name.repository}@{digest}", auth=auth).platforms
    return Entry(str(name), media_type, data, dict(found[0]) if found else {})


@command("create")
@click.option("-a", "--amend", is_flag=True, help="Amend an existing manifest list")
@click.option("--insecure", is_flag=True, help=INSECURE)
@click.argument("manifest_list")
@click.argument("manifests", nargs=-1, required=True)
@click.pass_obj
def create(face: Face, /, manifest_list: str, manifests: tuple[str, ...], amend: bool, insecure: bool) -> Result:
    """Create a local manifest list for annotating and pushing to a registry.

    The manifests are in registries already. The list is kept where docker's own command line keeps it.
    """
    from labdock.client.manifests import full_name

    lists, target = _lists(face), full_name(manifest_list)
    if lists.has(target) and not amend:
        lists.write(target, (), amend=False)
    lists.write(target, [_fetch(face, full_name(manifest)) for manifest in manifests], amend=amend)
    return Text(f"Created manifest list {target}")


@command("annotate")
@click.option("--arch", default="", help="Set architecture")
@click.option("--os", "system", default="", help="Set operating system")
@click.option("--os-features", multiple=True, help="Set operating system feature")
@click.option("--os-version", default="", help="Set operating system version")
@click.option("--variant", default="", help="Set architecture variant")
@click.argument("manifest_list")
@click.argument("manifest")
@click.pass_obj
def annotate(
    face: Face,
    /,
    manifest_list: str,
    manifest: str,
    arch: str,
    system: str,
    os_features: tuple[str, ...],
    os_version: str,
    variant: str,
) -> Result | None:
    """Add additional information to a local image manifest."""
    from labdock.client.manifests import annotated, full_name

    lists, target, name = _lists(face), full_name(manifest_list), full_name(manifest)
    features = [feature for text in os_features for feature in text.split(",")]
    given = {
        "architecture": arch,
        "os": system,
        "os.version": os_version,
        "os.features": features,
        "variant": variant,
    }
    try:
        entry = lists.find(target, name)
    except NotFound:
        # Docker takes one in that is not there yet.
        lists.read(target)
        entry = _fetch(face, name)
    lists.write(target, [annotated(entry, given)], amend=True)
    return None


@command("inspect")
@click.option("--insecure", is_flag=True, help=INSECURE)
@click.option("-v", "--verbose", is_flag=True, help="Output additional info including layers and platform")
@click.argument("words", nargs=-1, required=True, metavar="[MANIFEST_LIST] MANIFEST")
@click.pass_obj
def inspect(face: Face, /, words: tuple[str, ...], insecure: bool, verbose: bool) -> Result:
    """Display an image manifest, or manifest list: a local list, else what a registry has; nothing is pulled."""
    from labdock.client.manifests import INDEXES, full_name

    if len(words) > 2:
        raise InvalidRequest("'manifest inspect' requires at least 1 and at most 2 arguments")
    *inside, name = (full_name(word) for word in words)
    lists = _lists(face)
    if inside:
        return _one(lists.find(inside[0], name), verbose)
    if lists.has(name):
        return _several(lists.read(name), verbose)
    data, media_type, digest = face.client.registries.manifest(str(name), auth=credentials_for(face, name.key))
    if not verbose:
        return Manifest(data, media_type, digest)
    if media_type not in INDEXES:
        return _one(_fetch(face, name), verbose)
    listed = Manifest(data, media_type, digest)
    shown = [_listed(face, name, line) for line in listed.document.get("manifests") or ()]
    return Manifest(data, media_type, digest, shown=shown)


def _listed(face: Face, listing: Name, line: dict[str, Any]) -> dict[str, Any]:
    """A line of a registry's list with the manifest that it names."""
    from labdock.client.manifests import Entry

    ref = f"{listing.repository}@{line['digest']}"
    data, media_type, _ = face.client.registries.manifest(ref, auth=credentials_for(face, listing.key))
    return Entry(ref, media_type, data, line.get("platform") or {}).document()


def _one(entry: Entry, verbose: bool) -> Result:
    return Manifest(entry.data, entry.media_type, entry.digest, shown=entry.document() if verbose else None)


def _several(entries: list[Entry], verbose: bool) -> Result:
    from labdock.client.manifests import describe

    kind, lines = describe(entries)
    data = msgspec.json.encode({"schemaVersion": 2, "mediaType": kind, "manifests": lines})
    return Manifest(data, kind, "", shown=[entry.document() for entry in entries] if verbose else None)


@command("push")
@click.option("--insecure", is_flag=True, help=INSECURE)
@click.option("-p", "--purge", is_flag=True, help="Remove the local manifest list after push")
@click.argument("manifest_list")
@click.pass_obj
def push(face: Face, /, manifest_list: str, insecure: bool, purge: bool) -> Result:
    """Push a manifest list to a repository, and to there what it names in others of the same registry."""
    from labdock.client.manifests import foreign, full_name, make_list

    lists, target = _lists(face), full_name(manifest_list)
    entries = lists.read(target)
    data, media_type = make_list(entries)
    auth = credentials_for(face, target.key)
    registries = face.client.registries
    for entry in list(foreign(entries, target)):
        pushed = f"{target.repository}@{entry.digest}"
        source = names.parse(entry.ref).repository
        registries.put_manifest(pushed, entry.data, entry.media_type, source=source, auth=auth)
        face.say(f"Pushed ref {pushed} with digest: {entry.digest}")
    digest = registries.put_manifest(str(target), data, media_type, auth=auth)
    if purge:
        lists.remove(target)
    return Text(digest)


@command("rm")
@click.argument("manifest_lists", nargs=-1, required=True)
@click.pass_obj
def remove(face: Face, /, manifest_lists: tuple[str, ...]) -> Result | None:
    """Delete one or more manifest lists from local storage."""
    from labdock.client.manifests import full_name

    lists = _lists(face)
    failed: list[LabdockError] = []
    for text in manifest_lists:
        try:
            lists.remove(full_name(text))
        except LabdockError as error:
            failed.append(error)
    if failed:
        raise InvalidRequest("\n".join(error.message for error in failed))
    return None
