"""A volume plugin that can misbehave: python standin_plugin.py SOCKET FOLDER MODE

Modes: good · hang (List and Mount are never answered) · lie (Mount names a folder that is not there) · garble (no JSON)
· die (ends at Mount). Each call is a line in FOLDER/calls.
"""

from __future__ import annotations

import http.server
import json
import os
import socketserver
import sys
import threading
from pathlib import Path
from typing import Any

SOCKET, FOLDER, MODE = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]


def answer(method: str, body: dict[str, Any]) -> dict[str, Any]:
    name = body.get("Name", "")
    place = FOLDER / "volumes" / name
    with (FOLDER / "calls").open("a") as calls:
        calls.write(f"{method} {name} {body.get('ID', '')[:12]}\n")
    if MODE == "hang" and method in ("List", "Mount"):
        threading.Event().wait()
    match method:
        case "Activate":
            return {"Implements": ["VolumeDriver"]}
        case "Create":
            (place / "data").mkdir(parents=True, exist_ok=True)
        case "Remove":
            for part in (place / "data").iterdir():
                part.unlink()
            (place / "data").rmdir()
            place.rmdir()
        case "Mount":
            if MODE == "die":
                os._exit(1)
            return {"Mountpoint": "/no/such/folder" if MODE == "lie" else str(place / "data")}
        case "Get":
            if not place.is_dir():
                return {"Err": f"no such volume: {name}"}
            return {"Volume": {"Name": name, "Mountpoint": str(place / "data"), "Status": {"shelf": 7}}}
        case "List":
            entries = (FOLDER / "volumes").iterdir() if (FOLDER / "volumes").is_dir() else ()
            return {"Volumes": [{"Name": e.name, "Mountpoint": str(e / "data")} for e in entries] + [{"Name": 3}, None]}
        case "Capabilities":
            return {"Capabilities": {"Scope": "global"}}
    return {"Err": ""}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
        found = answer(self.path.rpartition(".")[2], body)
        data = b"<html>" if MODE == "garble" and "Activate" not in self.path else json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None: ...

    def address_string(self) -> str:
        return "engine"


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


if __name__ == "__main__":
    SOCKET.unlink(missing_ok=True)
    with Server(str(SOCKET), Handler) as server:
        server.serve_forever()
