"""``run --use-api-socket``: the engine's socket in the container, and beside it the user's registry credentials."""

from __future__ import annotations

import base64
import tarfile
from io import BytesIO
from typing import TYPE_CHECKING

import msgspec

from labdock.schema.container import HostConfig

if TYPE_CHECKING:
    from labdock.client import Client
    from labdock.client.credentials import Auth
    from labdock.commands.face import Face
    from labdock.schema.container import CreateRequest

#: The engine gives its own socket for this one, wherever that is.
SOCKET = "/var/run/docker.sock"
FOLDER = "run/secrets/docker"


class ApiSocket:
    """What a container gets. Without credentials there is no file, as with the docker command."""

    def __init__(self, client: Client) -> None:
        keyring = client.keyring
        self._known = keyring.all() if keyring is not None else {}

    def add_to(self, request: CreateRequest) -> CreateRequest:
        """*request* with the socket bound and, if there is something in it, the folder of credentials named."""
        host = request.host_config or HostConfig()
        host = msgspec.structs.replace(host, binds=(*(host.binds or ()), f"{SOCKET}:{SOCKET}"))
        env = request.env
        if self._known:
            env = (f"DOCKER_CONFIG=/{FOLDER}", *(env or ()))
        return msgspec.structs.replace(request, host_config=host, env=env)

    def put(self, face: Face, container: str) -> None:
        """Write ``config.json``, with what helpers keep too, into the created *container*."""
        if self._known:
            auths = {server: _entry(auth) for server, auth in self._known.items()}
            tar = pack(msgspec.json.encode({"auths": auths}))
            face.client.files.extract(container, "/", iter((tar,)))


def _entry(auth: Auth) -> dict[str, str]:
    if auth.identity_token:
        return {"auth": "", "identitytoken": auth.identity_token}
    return {"auth": base64.b64encode(f"{auth.username}:{auth.password}".encode()).decode()}


def pack(config: bytes) -> bytes:
    """A tar with the file and its folders, for the container's root alone to read."""
    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        place = ""
        for part in FOLDER.split("/"):
            place += f"{part}/"
            folder = tarfile.TarInfo(place)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
        info = tarfile.TarInfo(f"{place}config.json")
        info.size, info.mode = len(config), 0o600
        tar.addfile(info, BytesIO(config))
    return out.getvalue()
