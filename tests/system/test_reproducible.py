"""The same Dockerfile, context and base give the same image for another user, folder, day and umask.

Marked root: only root can be two users.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import stores
from tests.system.conftest import EngineUnderTest, short_folder

pytestmark = pytest.mark.root

CHECKOUT = Path(__file__).parents[2]

#: Made by the set-up of the tests when root runs them.
OTHER = "labdock-test"

DOCKERFILE = """FROM busybox
ARG WHO=nobody
WORKDIR /work
COPY --chown=33:33 . /work/
RUN echo "$WHO" > made && mkdir sub && ln -s made sub/link && mkfifo pipe
USER 33
LABEL who=$WHO
CMD ["cat", "made"]
"""


def become(user: str) -> list[str]:
    """What runs a command as *user*, who is shown the checkout where it lies in a folder that is closed to others."""
    entry = pwd.getpwnam(user)
    ids = ["setpriv", "--reuid", str(entry.pw_uid), "--regid", str(entry.pw_gid), "--clear-groups", "--"]
    seen = subprocess.run([*ids, "test", "-r", str(CHECKOUT / "pyproject.toml")], check=False, timeout=60)
    if seen.returncode == 0:
        return ids
    return ["unshare", "--mount", "bash", str(CHECKOUT / "scripts/reveal.sh"), str(CHECKOUT), *ids]


def run_as(user: str, engine: EngineUnderTest, *words: str, umask: int) -> str:
    """labdock with *words*, as *user*, in *engine*'s folders."""
    done = subprocess.run(
        [*become(user), str(Path(sys.executable).with_name("labdock")), *words],
        env={**engine.environment, "HOME": pwd.getpwnam(user).pw_dir, "USER": user, "PYTHONDONTWRITEBYTECODE": "1"},
        umask=umask,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def places() -> Iterator[dict[str, EngineUnderTest]]:
    found = {}
    for user in ("root", OTHER):
        root = short_folder()
        root.chmod(0o755)
        entry = pwd.getpwnam(user)
        os.chown(root, entry.pw_uid, entry.pw_gid)
        found[user] = EngineUnderTest(root)
    yield found
    for user, engine in found.items():
        run_as(user, engine, "engine", "stop", umask=0o022)
        stores.remove(engine.root)


def test_two_users_folders_days_and_umasks_give_one_image(places: dict[str, EngineUnderTest]) -> None:
    ids = {}
    for number, (user, engine) in enumerate(places.items()):
        umask = (0o022, 0o027)[number]
        context = engine.root / ("context", "another/place/of/it")[number]
        context.mkdir(parents=True)
        (context / "Dockerfile").write_text(DOCKERFILE)
        (context / "folder").mkdir(mode=0o755)
        (context / "folder" / "file").write_text("the same\n")
        for path in (context, *context.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
            os.utime(path, (1_500_000_000 + 86_400 * number,) * 2)
        words = ("build", "-q", "--reproducible", "--build-arg", "WHO=me", "-t", "same", str(context))
        ids[user] = run_as(user, engine, *words, umask=umask)
    assert ids["root"].startswith("sha256:")
    assert ids["root"] == ids[OTHER]
    said = run_as(OTHER, places[OTHER], "run", "--rm", "same", umask=0o022)
    assert said == "me"
