"""``context``: which engines there are and which is meant, in the store that ``docker context`` uses too."""

from __future__ import annotations

import dataclasses
import os
import tarfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labdock.client.contexts import OWN, TLS_FILES, ContextStore, StoredContext, check_name, parse
from labdock.client.engine import DEFAULT, VARIABLES
from labdock.commands.inspecting import Documents, format_option
from labdock.commands.results import Records, Result, Text, render, unescape
from labdock.commands.tree import command
from labdock.errors import Conflict, InvalidRequest, LabdockError, NotFound

if TYPE_CHECKING:
    from labdock.commands.face import Face

DEFAULT_DESCRIPTION = "Current DOCKER_HOST based configuration"
COLUMNS = (("NAME", "Name"), ("DESCRIPTION", "Description"), ("DOCKER ENDPOINT", "DockerEndpoint"), ("ERROR", "Error"))
#: An archive of a context is a few certificates; more is none.
MOST = 1 << 20
KEYS = ("from", "host", "ca", "cert", "key", "skip-tls-verify")
FILES = dict(zip(("ca", "cert", "key"), TLS_FILES, strict=True))

docker_option = click.option("--docker", "ends", multiple=True, help='Set the docker endpoint ("host=ssh://me@there")')


def _current(face: Face, store: ContextStore) -> str:
    """The context in use, whatever chose it."""
    if any(face.environment.get(variable) for variable in VARIABLES):
        return DEFAULT
    return face.environment.get("DOCKER_CONTEXT") or store.current()


def _default(face: Face) -> StoredContext:
    plain = {name: value for name, value in face.environment.items() if name != "DOCKER_CONTEXT"}
    host = next((plain[variable] for variable in VARIABLES if plain.get(variable)), "")
    return StoredContext(DEFAULT, host or _own(face), DEFAULT_DESCRIPTION)


def _own(face: Face) -> str:
    from labdock.client.engine import own_socket

    return f"unix://{own_socket(face.environment)}"


def _get(face: Face, store: ContextStore, name: str) -> StoredContext:
    if name == DEFAULT:
        return _default(face)
    if name == OWN and not store.exists(OWN):
        return StoredContext(OWN, _own(face), "labdock's own engine")
    return store.get(name)


def _endpoint(face: Face, store: ContextStore, before: StoredContext, texts: tuple[str, ...]) -> StoredContext:
    """*before* with what ``--docker host=…,ca=…`` says."""
    given: dict[str, str] = {}
    for text in ",".join(texts).split(","):
        key, equals, value = text.partition("=")
        if not equals or key not in KEYS:
            raise InvalidRequest(
                f"unable to create docker endpoint config: unrecognized config key: {key}", hint=", ".join(KEYS)
            )
        given[key] = value
    if "from" in given:
        source = _get(face, store, given["from"])
        return dataclasses.replace(before, host=source.host, skip_verify=source.skip_verify, tls=source.tls)
    host, tls = given.get("host", ""), {}
    if host:
        _check_host(host)
    for key, name in FILES.items():
        if given.get(key):
            tls[name] = _read(given[key])
    skip = given.get("skip-tls-verify", "false").lower()
    if skip not in ("true", "false", "1", "0", "t", "f"):
        raise InvalidRequest(
            f'unable to create docker endpoint config: skip-tls-verify: parsing "{skip}": invalid syntax'
        )
    return dataclasses.replace(before, host=host, skip_verify=skip[0] in "t1", tls=tls)


def _check_host(host: str) -> None:
    from labdock.client.engine import Endpoint
    from labdock.client.remote import dialer

    prefix = "unable to create docker endpoint config: unable to apply docker endpoint options: "
    if not host.startswith("unix://"):
        try:
            dialer(Endpoint(host))
        except LabdockError as error:
            raise InvalidRequest(prefix + error.message, hint=error.hint) from error


def _read(path: str) -> bytes:
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise InvalidRequest(f"unable to create docker endpoint config: open {path}: {error.strerror}") from error


@command("create")
@click.option("--description", default="", help="Description of the context")
@docker_option
@click.option("--from", "source", help="Create context from a named context")
@click.argument("context")
@click.pass_obj
def create(face: Face, /, context: str, description: str, ends: tuple[str, ...], source: str | None) -> Result:
    """Create a context; without --docker or --from, of the engine that is used now."""
    store = ContextStore(face.environment)
    check_name(context)
    if store.exists(context):
        raise Conflict(f'context "{context}" already exists', hint=f"`labdock context update {context}` changes it")
    if ends and source:
        raise InvalidRequest("cannot use --docker flag when --from is set")
    if ends:
        made = _endpoint(face, store, StoredContext(context, ""), ends)
    else:
        made = dataclasses.replace(_get(face, store, source or _current(face, store)), name=context, raw={})
    made = dataclasses.replace(made, description=description or made.description)
    store.write(made)
    face.say(f'Successfully created context "{context}"')
    return Text(context)


@command("update")
@click.option("--description", help="Description of the context")
@docker_option
@click.argument("context")
@click.pass_obj
def update(face: Face, /, context: str, description: str | None, ends: tuple[str, ...]) -> Result:
    """Update a context."""
    store = ContextStore(face.environment)
    check_name(context)
    found = store.get(context)
    if description is not None:
        found = dataclasses.replace(found, description=description)
    if ends:
        found = _endpoint(face, store, found, ends)
    store.write(found)
    face.say(f'Successfully updated context "{context}"')
    return Text(context)


@command("ls")
@click.option("--format", "form", help="Format output using a Go template: table, 'table TEMPLATE', json, TEMPLATE")
@click.option("-q", "--quiet", is_flag=True, help="Only show context names")
@click.pass_obj
def listing(face: Face, /, form: str | None, quiet: bool) -> Result:
    """List contexts; the one in use has a star."""
    store = ContextStore(face.environment)
    current = _current(face, store)
    found = sorted([*store.all(), _default(face)], key=lambda each: each.name)
    problem = ""
    if current not in {each.name for each in found}:
        if current == OWN:
            found = sorted([*found, _get(face, store, OWN)], key=lambda each: each.name)
        else:
            found, problem = [*found, StoredContext(current, "")], _missing(store, current)
    rows: list[dict[str, Any]] = [
        {
            "Current": each.name == current,
            "Description": each.description,
            "DockerEndpoint": each.host,
            "Error": problem if not each.host and each.name == current else "",
            "Name": each.name,
        }
        for each in found
    ]
    if quiet:
        return render(found, rows, COLUMNS, form=None, quiet="Name")
    if form and form != "table":
        shown = render(found, rows, COLUMNS, form=form)
    else:
        starred = [row | {"Name": f"{row['Name']} *" if row["Current"] else row["Name"]} for row in rows]
        shown = Records(found, starred, COLUMNS)
    if any(face.environment.get(variable) for variable in VARIABLES):
        face.say(
            "Warning: DOCKER_HOST environment variable overrides the active context. To use a context, either set the "
            "global --context flag, or unset DOCKER_HOST environment variable."
        )
    return shown


def _missing(store: ContextStore, name: str) -> str:
    try:
        store.get(name)
    except LabdockError as error:
        return error.message
    return ""


@command("use")
@click.argument("context")
@click.pass_obj
def use(face: Face, /, context: str) -> Result:
    """Set the current context, for labdock and docker. `labdock` is labdock's own engine."""
    store = ContextStore(face.environment)
    if context != DEFAULT:
        check_name(context)
        if context == OWN and not store.exists(OWN):
            # docker must find it too.
            store.write(_get(face, store, OWN))
        store.get(context)
    store.choose(context)
    for variable in VARIABLES:
        if face.environment.get(variable):
            face.say(
                f'Warning: {variable} environment variable overrides the active context. To use "{context}", either '
                f"set the global --context flag, or unset {variable} environment variable."
            )
            break
    face.say(f'Current context is now "{context}"')
    return Text(context)


@command("show")
@click.pass_obj
def show(face: Face, /) -> Result:
    """Print the name of the current context."""
    return Text(_current(face, ContextStore(face.environment)))


@command("inspect")
@format_option
@click.argument("contexts", nargs=-1)
@click.pass_obj
def inspect(face: Face, /, contexts: tuple[str, ...], form: str | None) -> Result:
    """Display detailed information on one or more contexts; without a name, of the current one."""
    store = ContextStore(face.environment)
    found = [_document(face, store, name) for name in contexts or (_current(face, store),)]
    if not form:
        return Documents(found)
    from labdock.commands.template import Template

    template = Template("{{json .}}" if form == "json" else unescape(form))
    return Text("\n".join(template.render(each) for each in found))


def _document(face: Face, store: ContextStore, name: str) -> dict[str, Any]:
    found = _get(face, store, name)
    document = found.document()
    memory = name == DEFAULT or not store.exists(name)
    if memory:
        document["Metadata"] = {}
    return {
        "Name": found.name,
        "Metadata": document["Metadata"],
        "Endpoints": document["Endpoints"],
        "TLSMaterial": {"docker": sorted(found.tls)} if found.tls else {},
        "Storage": {
            "MetadataPath": "<IN MEMORY>" if memory else str(store.meta(name)),
            "TLSPath": "<IN MEMORY>" if memory else str(store.tls(name)),
        },
    }


@command("rm")
@click.option("-f", "--force", is_flag=True, help="Force the removal of a context in use")
@click.argument("contexts", nargs=-1, required=True)
@click.pass_obj
def remove(face: Face, /, contexts: tuple[str, ...], force: bool) -> Result:
    """Remove one or more contexts."""
    from labdock.commands.lifecycle import each

    store = ContextStore(face.environment)

    def act(name: str) -> str:
        if name == DEFAULT:
            raise InvalidRequest('context "default" cannot be removed')
        if not force and not store.exists(name):
            raise NotFound(f'context "{name}" does not exist', hint="`labdock context ls` shows what there is")
        if name == _current(face, store):
            if not force:
                raise Conflict(f'context "{name}" is in use, set -f flag to force remove')
            store.choose(DEFAULT)
        store.remove(name)
        return name

    return each(face, contexts, act)


@command("export")
@click.argument("context")
@click.argument("path", required=False)
@click.pass_obj
def export(face: Face, /, context: str, path: str | None) -> None:
    """Export a context to a tar archive FILE or a tar stream on STDOUT (-). Its private key is in it."""
    found = ContextStore(face.environment).get(context)
    data = pack(found)
    if path == "-":
        if face.keeps_results or face.output_is_terminal():
            raise InvalidRequest("cowardly refusing to export to a terminal, specify a file path")
        face.write("stdout", data)
        return
    path = path or f"{context}.dockercontext"
    try:
        with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as out:
            out.write(data)
    except OSError as error:
        raise InvalidRequest(f"open {path}: {(error.strerror or '').lower()}") from error
    face.say(f'Written file "{path}"')


def pack(context: StoredContext) -> bytes:
    """The archive that ``docker context import`` takes."""
    import msgspec

    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        parts = [("meta.json", msgspec.json.encode(context.document()), 0o644)]
        parts += [(f"tls/docker/{name}", data, 0o600) for name, data in sorted(context.tls.items())]
        for name, data, mode in parts:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), mode
            tar.addfile(info, BytesIO(data))
    return out.getvalue()


def unpack(data: bytes, name: str) -> StoredContext:
    """A context, called *name*, from an archive. Raises InvalidRequest for what is none."""
    if len(data) > MOST:
        raise InvalidRequest(f"a context's archive has at most {MOST} bytes")
    meta, tls = b"", {}
    try:
        with tarfile.open(fileobj=BytesIO(data)) as tar:
            for info in tar:
                source = tar.extractfile(info) if info.isreg() else None
                if source is None:
                    continue
                if info.name == "meta.json":
                    meta = source.read(MOST)
                elif info.name.startswith("tls/docker/") and info.name[11:] in TLS_FILES:
                    tls[info.name[11:]] = source.read(MOST)
    except tarfile.TarError as error:
        raise InvalidRequest(f"it is no archive of a context: {error}", hint="`context export` makes one") from error
    if not meta:
        raise InvalidRequest("invalid context: no metadata found", hint="`context export` makes one")
    return dataclasses.replace(parse(meta, "the archive", tls), name=name)


@command("import")
@click.argument("context")
@click.argument("path")
@click.pass_obj
def import_archive(face: Face, /, context: str, path: str) -> Result:
    """Import a context from a tar file, or from STDIN (-)."""
    store = ContextStore(face.environment)
    check_name(context)
    if store.exists(context):
        raise Conflict(f'context "{context}" already exists')
    try:
        data = face.read_input() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise InvalidRequest(f"open {path}: {(error.strerror or '').lower()}") from error
    store.write(unpack(data, context))
    face.say(f'Successfully imported context "{context}"')
    return Text(context)


@command("dial-stdio", hidden=True)
@click.pass_obj
def dial_stdio(face: Face, /) -> None:
    """Carry standard input and output to the engine and back: the far end of `ssh://`."""
    from labdock.client.relay import carry
    from labdock.client.transport import UnixTransport

    transport = face.client.transport
    if face.keeps_results or not isinstance(transport, UnixTransport):
        raise InvalidRequest("dial-stdio is for the far end of an ssh connection")
    with transport.dial() as connection:
        carry(0, 1, connection)
