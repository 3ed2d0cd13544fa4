#!/usr/bin/env python3
"""A volume plugin that keeps volumes on an HTTP object store: what one machine wrote, another goes on with.

A volume is one object, a tar. It is fetched (GET) when the first container mounts it, and stored (PUT) when the last
one has let go of it, and every --every seconds in between. Any store that takes GET, PUT and DELETE will do: a WebDAV
folder, a bucket behind a gateway, nginx with dav_methods. Only Python's standard library, tar and unshare are used.

    python examples/volumes_over_http.py --store http://127.0.0.1:9000/volumes --name shelf
    labdock volume create -d shelf notes
    labdock run --rm -v notes:/notes busybox sh -c 'date >> /notes/log'

It runs as you. Files of a volume belong to your subordinate ids, as in a container; tar runs under the same map.
"""

from __future__ import annotations

import argparse
import http.server
import json
import os
import re
import shutil
import socketserver
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
PATIENCE = 30.0


class Failed(Exception):
    """What the engine is told, as Err."""


class Store:
    """The object store at *address*; objects are NAME.tar."""

    def __init__(self, address: str) -> None:
        self._address = address.rstrip("/")

    def _ask(self, method: str, name: str, data: Any = None, size: int = 0) -> Any:
        request = urllib.request.Request(f"{self._address}/{name}.tar", data=data, method=method)
        if data is not None:
            request.add_header("Content-Type", "application/x-tar")
            request.add_header("Content-Length", str(size))
        try:
            return urllib.request.urlopen(request, timeout=PATIENCE)
        except urllib.error.HTTPError as error:
            if error.code == 404 and method != "PUT":
                return None
            raise Failed(f"{method} {error.url}: {error.code} {error.reason}") from error
        except OSError as error:
            raise Failed(f"{method} {self._address}/{name}.tar: {error}") from error

    def fetch(self, name: str, out: Any) -> bool:
        """Write the object *name* into the file *out*; False when there is none."""
        answer = self._ask("GET", name)
        if answer is None:
            return False
        with answer:
            shutil.copyfileobj(answer, out)
        return True

    def put(self, name: str, source: Any) -> None:
        size = source.seek(0, os.SEEK_END)
        source.seek(0)
        self._ask("PUT", name, source, size).close()

    def delete(self, name: str) -> None:
        answer = self._ask("DELETE", name)
        if answer is not None:
            answer.close()


class Shelf:
    """The volumes: a folder of *folder* each, and who mounts them."""

    def __init__(self, folder: Path, store: Store) -> None:
        self._folder = folder
        self._store = store
        self._holders: dict[str, set[str]] = {}
        self._lock = threading.RLock()
        folder.mkdir(parents=True, exist_ok=True)

    def _place(self, name: str) -> Path:
        if not NAME.match(name):
            raise Failed(f"{name!r} is no name for a volume")
        return self._folder / name

    def _known(self, name: str) -> Path:
        place = self._place(name)
        if not place.is_dir():
            raise Failed(f"no such volume: {name}")
        return place

    def create(self, name: str) -> None:
        """Known from now on. What the store has under the name is taken on; else an empty volume is stored."""
        with self._lock:
            place = self._place(name)
            if not place.is_dir():
                place.mkdir()
                (place / "data").mkdir()
                if not self._fetch(name):
                    self._push(name)

    def remove(self, name: str) -> None:
        with self._lock:
            place = self._known(name)
            if self._holders.get(name):
                raise Failed(f"volume {name} is mounted")
            self._store.delete(name)
            mapped("rm", "-rf", "--", str(place))

    def mount(self, name: str, holder: str) -> Path:
        with self._lock:
            place = self._known(name)
            if not self._holders.get(name):
                self._fetch(name)
            self._holders.setdefault(name, set()).add(holder)
            return place / "data"

    def unmount(self, name: str, holder: str) -> None:
        with self._lock:
            self._known(name)
            holders = self._holders.get(name, set())
            if holder in holders and len(holders) == 1:
                # Before it is let go of: when the store does not take it, it is still mounted, and tried again.
                self._push(name)
            holders.discard(holder)

    def sync(self) -> None:
        """Store what is mounted now."""
        for name in [name for name, holders in self._holders.items() if holders]:
            try:
                with self._lock:
                    self._push(name)
            except Failed as error:
                print(f"storing {name}: {error}", file=sys.stderr)

    def names(self) -> list[str]:
        return sorted(entry.name for entry in self._folder.iterdir() if NAME.match(entry.name))

    def show(self, name: str) -> dict[str, Any]:
        place = self._known(name)
        status = {"holders": len(self._holders.get(name, ()))}
        return {"Name": name, "Mountpoint": str(place / "data"), "Status": status}

    def _fetch(self, name: str) -> bool:
        """Have the folder as the store has it. The old one goes when the new one is whole."""
        place = self._folder / name
        with tempfile.TemporaryFile(dir=self._folder) as archive:
            if not self._store.fetch(name, archive):
                return False
            archive.seek(0)
            fresh = place / "fresh"
            mapped("rm", "-rf", "--", str(fresh))
            fresh.mkdir()
            mapped("tar", "-C", str(fresh), "--numeric-owner", "-xpf", "-", stdin=archive)
        mapped("rm", "-rf", "--", str(place / "data"))
        fresh.rename(place / "data")
        return True

    def _push(self, name: str) -> None:
        with tempfile.TemporaryFile(dir=self._folder) as archive:
            command = ("tar", "-C", str(self._folder / name / "data"), "--numeric-owner", "-cpf", "-", ".")
            mapped(*command, stdout=archive)
            self._store.put(name, archive)


def mapped(*command: str, stdin: Any = subprocess.DEVNULL, stdout: Any = subprocess.DEVNULL) -> None:
    """Run *command* as root of a user namespace with your subordinate ids, as containers have them. Raises Failed."""
    whole = ("unshare", "--map-root-user", "--map-auto", "--", *command) if os.getuid() else command
    done = subprocess.run(whole, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{command[0]}: {done.stderr.strip()}")


def answer(shelf: Shelf, method: str, body: dict[str, Any]) -> dict[str, Any]:
    """The answer to one call of the plugin protocol."""
    name = str(body.get("Name") or "")
    match method:
        case "Plugin.Activate":
            return {"Implements": ["VolumeDriver"]}
        case "VolumeDriver.Capabilities":
            return {"Capabilities": {"Scope": "global"}}
        case "VolumeDriver.Create":
            shelf.create(name)
        case "VolumeDriver.Remove":
            shelf.remove(name)
        case "VolumeDriver.Mount":
            return {"Mountpoint": str(shelf.mount(name, str(body.get("ID")))), "Err": ""}
        case "VolumeDriver.Unmount":
            shelf.unmount(name, str(body.get("ID")))
        case "VolumeDriver.Path":
            return {"Mountpoint": shelf.show(name)["Mountpoint"], "Err": ""}
        case "VolumeDriver.Get":
            return {"Volume": shelf.show(name), "Err": ""}
        case "VolumeDriver.List":
            return {"Volumes": [shelf.show(name) for name in shelf.names()], "Err": ""}
        case _:
            raise Failed(f"{method} is not known here")
    return {"Err": ""}


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def __init__(self, path: Path, shelf: Shelf) -> None:
        self.shelf = shelf
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        super().__init__(str(path), Handler)


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        try:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
            found, status = answer(self.server.shelf, self.path.lstrip("/"), body), 200
        except (Failed, OSError, ValueError) as error:
            found, status = {"Err": str(error)}, 500
        data = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/vnd.docker.plugins.v1.1+json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def address_string(self) -> str:
        return "engine"


def main() -> int:
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share")
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--store", required=True, help="the address that objects lie below, http://HOST:PORT/PATH")
    parser.add_argument("--name", default="shelf", help="the driver's name (docker volume create -d NAME)")
    parser.add_argument("--folder", type=Path, help="where volumes lie while they are used here")
    parser.add_argument("--socket", type=Path, help="where to listen (default: where labdock looks for NAME)")
    parser.add_argument("--every", type=float, default=60.0, help="seconds between stores of what is mounted; 0: never")
    options = parser.parse_args()
    shelf = Shelf((options.folder or data / "labdock-plugins" / options.name).absolute(), Store(options.store))
    stop = threading.Event()
    if options.every > 0:

        def tend() -> None:
            while not stop.wait(options.every):
                shelf.sync()

        threading.Thread(target=tend, daemon=True).start()
    path = options.socket or config / "labdock/plugins" / f"{options.name}.sock"
    with Server(path, shelf) as server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            stop.set()
    path.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
