"""What passes between a browser and a container's web application: never Jupyter's cookies or tokens. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit, urlunsplit

#: Cookies of Jupyter's, JupyterHub's and of what stands before them: a container neither sees nor sets them.
OURS = re.compile(r"^(_xsrf$|username-|jupyter|_oauth|oauth|session-id)", re.IGNORECASE)
#: Headers of a request that speak of this server and not of the application.
PRIVATE = ("X-Xsrftoken", "X-Jupyterhub-Api-Token", "Proxy-Authorization")
#: Headers of an answer that would reach beyond the application's own addresses.
REACHING = ("Service-Worker-Allowed", "Clear-Site-Data", "Strict-Transport-Security", "Public-Key-Pins")


def keep_cookies(header: str, known: Collection[str]) -> str:
    """Of a ``Cookie`` header, those that the application itself has set."""
    kept = []
    for pair in header.split(";"):
        name = pair.partition("=")[0].strip()
        if name in known and not OURS.match(name):
            kept.append(pair.strip())
    return "; ".join(kept)


def rewrite_cookie(header: str, prefix: str) -> tuple[str, str] | None:
    """A ``Set-Cookie`` for the addresses below *prefix* only, and its name; None for one that is not to be set."""
    cookie: SimpleCookie = SimpleCookie()
    try:
        cookie.load(header)
    except CookieError:
        return None
    if len(cookie) != 1:
        return None
    ((name, morsel),) = cookie.items()
    if OURS.match(name):
        return None
    path = morsel["path"] or "/"
    morsel["path"] = prefix.rstrip("/") + (path if path.startswith("/") else "/")
    morsel["domain"] = ""
    return name, morsel.OutputString()


def strip_query(query: str, is_ours: Callable[[str], bool]) -> str:
    """*query* without a ``token`` whose value *is_ours*; the rest as it was written."""
    return "&".join(
        part for part in query.split("&") if not (part.startswith("token=") and is_ours(part.removeprefix("token=")))
    )


def strip_referer(referer: str, prefix: str) -> str:
    """Where a request came from as the application may know it: its own addresses without queries, else nothing."""
    parts = urlsplit(referer)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", "")) if parts.path.startswith(prefix) else ""


def rewrite_location(location: str, prefix: str, hosts: Iterable[str]) -> str:
    """Where a redirect leads in the browser: the application's own addresses are below *prefix* there.

    *hosts*: the names under which the application may know itself.
    """
    parts = urlsplit(location)
    if parts.scheme not in ("", "http", "https") or (parts.netloc and parts.netloc not in hosts):
        return location
    if not parts.netloc and not parts.path.startswith("/"):
        return location  # It is relative already.
    path = parts.path or "/"
    base = prefix.rstrip("/")
    # An application that heeds X-Forwarded-Prefix has said it itself.
    if path != base and not path.startswith(base + "/"):
        path = base + path
    return urlunsplit(("", "", path, parts.query, parts.fragment))
