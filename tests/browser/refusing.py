"""A Jupyter server's authoriser that lets nobody use containers: ``--ServerApp.authorizer_class=…Refusing``."""

from __future__ import annotations

from typing import Any

from jupyter_server.auth.authorizer import Authorizer


class Refusing(Authorizer):
    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        return resource != "labdock"
