"""This user's registry credentials: ``config.json`` on the disk and the helpers it names.

The file is in the folder DOCKER_CONFIG names, else in ``~/.docker``: the ``docker`` command's own, so that a login
with either serves both.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from labdock.client import credentials
from labdock.client.credentials import Auth, Config
from labdock.errors import InvalidRequest, SystemFailure

#: A helper may ask its user for a passphrase. Seconds.
PATIENCE = 60.0
#: In docker's order: what keeps secrets when nothing is configured and it is installed (Linux).
KNOWN_STORES = ("pass", "secretservice")
MOST_ANSWER = 1 << 20

#: (program, verb, stdin) → (exit code, stdout, stderr). Raises FileNotFoundError.
Runner = Callable[[str, str, bytes], tuple[int, bytes, bytes]]


class HelperFailed(SystemFailure):
    """A ``docker-credential-*`` program is missing or could not do it."""


class Keyring:
    """Finds, keeps and forgets credentials. *server* is a key: see :func:`labdock.client.names.server_key`."""

    def __init__(self, environment: Mapping[str, str] | None = None, run: Runner | None = None) -> None:
        self._environment = dict(os.environ if environment is None else environment)
        self._run = run or self._start

    @property
    def path(self) -> Path:
        folder = self._environment.get("DOCKER_CONFIG")
        home = self._environment.get("HOME") or os.path.expanduser("~")
        return (Path(folder) if folder else Path(home) / ".docker") / "config.json"

    def read(self) -> Config:
        """Raises InvalidRequest when the file can't be read or understood."""
        try:
            return Config.parse(self.path.read_bytes(), str(self.path))
        except FileNotFoundError:
            return Config()
        except OSError as error:
            raise InvalidRequest(f"cannot read {self.path}: {error.strerror}") from error

    def find(self, server: str) -> Auth:
        """The credentials for *server*; empty when there are none. Raises HelperFailed, InvalidRequest."""
        config = self.read()
        helper = config.helper(server)
        return self._ask(helper, server) if helper else config.find(server)

    def all(self) -> dict[str, Auth]:
        """Every server's. A helper that fails leaves its servers out: a build may not need them."""
        config = self.read()
        found: dict[str, Auth] = {}
        for server in config.servers:
            helper = config.helper(server)
            try:
                auth = self._ask(helper, server) if helper else config.find(server)
            except HelperFailed:
                continue
            if auth:
                found[server] = auth
        return found

    def store(self, server: str, auth: Auth) -> str:
        """Keep *auth* for *server*; gives the helper that has it now, "" for the file."""
        config = self.read()
        if config.is_silent and (known := self._installed_store()):
            config = config.with_store(known)
        helper = config.helper(server)
        if helper:
            self._tell(helper, "store", credentials.write_secret(server, auth))
        self._write(config.with_auth(server, None if helper else auth))
        return helper

    def erase(self, server: str) -> bool:
        """Forget *server*; False when nothing was known."""
        config = self.read()
        helper = config.helper(server)
        known = bool(config.find(server)) or server in config.servers
        if helper:
            known = known or bool(self._ask(helper, server))
            self._tell(helper, "erase", server.encode())
        left = config.without(server)
        if left.servers != config.servers:
            self._write(left)
        return known

    def _installed_store(self) -> str:
        import shutil

        path = self._environment.get("PATH")
        for name in KNOWN_STORES:
            # docker-credential-pass without pass itself can keep nothing.
            needed = (f"docker-credential-{name}", *(("pass",) if name == "pass" else ()))
            if all(shutil.which(program, path=path) for program in needed):
                return name
        return ""

    def _ask(self, helper: str, server: str) -> Auth:
        code, out, errors = self._call(helper, "get", server.encode())
        if code != 0:
            said = (out + errors).decode("utf-8", "replace")
            if credentials.NOT_FOUND in said:
                return Auth()
            raise _failure(helper, "get", code, errors)
        try:
            return credentials.read_secret(server, out)
        except ValueError as error:
            raise HelperFailed(f"docker-credential-{helper} get: {error}") from None

    def _tell(self, helper: str, verb: str, given: bytes) -> None:
        code, out, errors = self._call(helper, verb, given)
        if code != 0 and not (verb == "erase" and credentials.NOT_FOUND in (out + errors).decode("utf-8", "replace")):
            raise _failure(helper, verb, code, errors)

    def _call(self, helper: str, verb: str, given: bytes) -> tuple[int, bytes, bytes]:
        program = f"docker-credential-{helper}"
        if "/" in helper or "\0" in helper:
            raise HelperFailed(f"{self.path} names a credential helper {helper!r}, which is no program's name")
        try:
            return self._run(program, verb, given)
        except FileNotFoundError as error:
            raise HelperFailed(
                f"{self.path} leaves credentials to {program}, which is not on PATH",
                hint=f'install it, or take "{helper}" out of credsStore and credHelpers in that file and log in again',
            ) from error

    def _start(self, program: str, verb: str, given: bytes) -> tuple[int, bytes, bytes]:
        import shutil
        import subprocess

        found = shutil.which(program, path=self._environment.get("PATH"))
        if found is None:
            raise FileNotFoundError(program)
        try:
            done = subprocess.run(
                [found, verb],
                input=given,
                capture_output=True,
                env=self._environment,
                timeout=PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise HelperFailed(
                f"{program} {verb} gave no answer in {PATIENCE:g} s", hint="does it wait for a passphrase?"
            ) from None
        except OSError as error:
            raise HelperFailed(f"{program} can't be started: {error.strerror}") from error
        return done.returncode, done.stdout[:MOST_ANSWER], done.stderr[:MOST_ANSWER]

    def _write(self, config: Config) -> None:
        """Atomic, and readable by its user only; a link to the file stays a link."""
        target = Path(os.path.realpath(self.path))
        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, partial = tempfile.mkstemp(prefix="config.json.", dir=target.parent)  # made 0600
            try:
                with os.fdopen(descriptor, "wb") as out:
                    out.write(config.dump())
                    out.flush()
                    os.fsync(out.fileno())
                os.replace(partial, target)
            except BaseException:
                os.unlink(partial)
                raise
        except OSError as error:
            raise SystemFailure(f"cannot write {target}: {error.strerror}") from error


def _failure(helper: str, verb: str, code: int, errors: bytes) -> HelperFailed:
    # Only stderr: what a helper prints to stdout may be the secret itself.
    said = errors.decode("utf-8", "replace").strip()[:300]
    return HelperFailed(f"docker-credential-{helper} {verb} ended with {code}" + (f": {said}" if said else ""))
