"""Asking whether a container's page may be opened: for JupyterLab's dialog, and by a page where there is none."""

from __future__ import annotations

import re
from html import escape

from tornado import web

from labdock.errors import InvalidRequest, NotFound
from labdock.jupyter.access import Handler
from labdock.jupyter.shapes import Shape
from labdock.jupyter.trust import Origin

#: Nothing is loaded from anywhere; only this server's own pages may show it inside of them.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'self'; base-uri 'none'"
IMAGE = re.compile(r"^[A-Za-z0-9]+:[0-9a-f]{32,128}$")
#: What the server serves of containers (see :mod:`labdock.jupyter.ports`).
PLACES = ("port", "port-absolute")
FORM = "application/x-www-form-urlencoded"

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Open {name}?</title><style>
:root {{ color-scheme: light dark }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 38em; margin: 12vh auto; padding: 0 1em }}
h1 {{ font-size: 1.3em }} code {{ overflow-wrap: anywhere }}
button {{ font: inherit; padding: .4em 1em }} small {{ opacity: .75 }}
</style></head><body>
<h1>Open what <code>{name}</code> serves on port {port}?</h1>
<p>Its page has this Jupyter server’s own address, so its scripts can do here whatever you can: open it only if you
trust the image <code>{name}</code>.</p>
<form method="post" action="{action}">
<input type="hidden" name="_xsrf" value="{xsrf}"><input type="hidden" name="image" value="{image}">
<input type="hidden" name="next" value="{next}">
<button type="submit">Trust this image and open</button></form>
<p><small>You are asked once for each image; <code>{image}</code> is this one.</small></p>
</body></html>
"""


def ask(origin: Origin, port: str, *, action: str, xsrf: str, onward: str) -> str:
    """The page that asks. *action*: where its form goes; *onward*: the address that was wanted."""
    values = {"name": origin.name or origin.image, "port": port, "action": action, "xsrf": xsrf}
    values |= {"image": origin.image, "next": onward}
    return PAGE.format(**{name: escape(value) for name, value in values.items()})


class Answer(Shape, frozen=True, kw_only=True):
    """``name``: what the container's image was asked for by."""

    image: str
    name: str
    trusted: bool


class TrustHandler(Handler):
    """``?container=ID``: its image, and whether that is trusted. POST an image to trust it, DELETE to forget all."""

    @web.authenticated
    async def get(self) -> None:
        trust = self.desk.trust
        origin = await trust.find(self.argument("container"))
        self.answer(Answer(image=origin.image, name=origin.name, trusted=trust.has(origin.image)))

    @web.authenticated
    async def post(self) -> None:
        if not self.desk.ports:
            raise NotFound("ports are not opened here", hint="pip install jupyter-server-proxy")
        form = self.request.headers.get("Content-Type", "").startswith(FORM)
        image = self.get_body_argument("image", "") if form else str(self.read_body().get("image", ""))
        if not IMAGE.match(image):
            raise InvalidRequest(f"{image!r} is no image's id", hint="GET trust?container=ID gives it")
        onward = self.get_body_argument("next", "") if form else ""
        places = tuple(f"{self.base_url}labdock/{place}/" for place in PLACES)
        if form and ("\\" in onward or not onward.startswith(places)):
            raise InvalidRequest("that leads nowhere here")
        self.desk.trust.add(image)
        if form:
            self.redirect(onward, status=303)
        else:
            self.set_status(204)
            self.finish()

    @web.authenticated
    async def delete(self) -> None:
        self.desk.trust.forget()
        self.set_status(204)
        self.finish()
