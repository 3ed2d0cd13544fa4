"""``docker build`` with the real CLI: contexts from stdin, folders and tars, the classic builder's words, errors."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from .clients import Docker


def build(docker: Docker, dockerfile: str, *args: str) -> str:
    return docker.ok("build", *args, "-", stdin=dockerfile)


def test_a_dockerfile_from_stdin_and_the_words(docker: Docker) -> None:
    out = build(docker, "FROM busybox\nRUN echo made > /made\nCMD cat /made\n", "-t", "app:1")
    lines = out.splitlines()
    assert "Step 1/3 : FROM busybox" in lines
    assert "Step 2/3 : RUN echo made > /made" in lines
    assert re.search(r"^ ---> Running in [0-9a-f]{12}$", out, re.M)
    assert re.search(r"^Successfully built [0-9a-f]{12}$", out, re.M)
    assert lines[-1] == "Successfully tagged app:1"
    assert docker.ok("run", "--rm", "app:1") == "made\n"


def test_the_second_build_comes_from_the_cache(docker: Docker) -> None:
    dockerfile = "FROM busybox\nRUN date +%N > /n\n"
    first = build(docker, dockerfile, "-q").strip()
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", first)
    again = build(docker, dockerfile)
    assert " ---> Using cache\n" in again
    assert f"Successfully built {first[7:19]}\n" in again
    assert " ---> Using cache\n" not in build(docker, dockerfile, "--no-cache")


def test_a_folder_with_copy_and_dockerignore(docker: Docker, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nWORKDIR /app\nCOPY . .\nRUN ls\n")
    (tmp_path / "kept.txt").write_text("kept\n")
    (tmp_path / "secret.txt").write_text("secret\n")
    (tmp_path / ".dockerignore").write_text("secret*\n")
    docker.ok("build", "-t", "folder", str(tmp_path))
    assert docker.ok("run", "--rm", "folder", "cat", "kept.txt") == "kept\n"
    assert "secret.txt" not in docker.ok("run", "--rm", "folder", "ls", "-A")


def test_a_dockerfile_of_another_name_and_place(docker: Docker, tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "f").write_text("in context\n")
    (context / "Other").write_text("FROM busybox\nCOPY f /f\n")
    (tmp_path / "Outside").write_text("FROM busybox\nCOPY f /g\n")
    docker.ok("build", "-t", "other", "-f", str(context / "Other"), str(context))
    assert docker.ok("run", "--rm", "other", "cat", "/f") == "in context\n"
    docker.ok("build", "-t", "outside", "-f", str(tmp_path / "Outside"), str(context))
    assert docker.ok("run", "--rm", "outside", "cat", "/g") == "in context\n"


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_a_tar_from_stdin(docker: Docker, compress: Callable[[bytes], bytes]) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, text in (("Dockerfile", "FROM busybox\nCOPY f /f\n"), ("f", "in tar\n")):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    docker.ok("build", "-t", "tarred", "-", stdin=compress(data.getvalue()))
    assert docker.ok("run", "--rm", "tarred", "cat", "/f") == "in tar\n"


def test_a_compressed_context(docker: Docker, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nCOPY f /f\n")
    (tmp_path / "f").write_text("squeezed\n")
    docker.ok("build", "--compress", "-t", "compressed", str(tmp_path))
    assert docker.ok("run", "--rm", "compressed", "cat", "/f") == "squeezed\n"


def test_arguments_labels_targets_and_stages(docker: Docker) -> None:
    dockerfile = """\
ARG BASE=busybox
FROM ${BASE} AS one
ARG WHO=nobody
RUN echo "$WHO" > /who
FROM busybox AS two
COPY --from=one /who /copied
ENV E=1
USER 1000
ENTRYPOINT ["cat"]
CMD ["/copied"]
FROM busybox AS three
RUN exit 9
"""
    build(docker, dockerfile, "-t", "staged", "--build-arg", "WHO=me", "--label", "k=v", "--target", "two")
    assert docker.ok("run", "--rm", "staged") == "me\n"
    shown = docker.ok(
        "inspect",
        "-f",
        "{{.Config.Labels.k}} {{.Config.User}} {{.Config.Env}} {{.Config.Entrypoint}} {{.Config.Cmd}}",
        "staged",
    )
    assert shown.startswith("v 1000 [")
    assert "E=1" in shown
    assert shown.endswith("[cat] [/copied]\n")


ERRORS = [
    # Dockerfile, exit code, what stderr says
    ("FROM busybox\nRUN exit 3\n", 3, r"The command '/bin/sh -c exit 3' returned a non-zero code: 3"),
    ('FROM busybox\nRUN ["false"]\n', 1, r"The command 'false' returned a non-zero code: 1"),
    ("FORM busybox\n", 1, r"(?i)unknown instruction: FORM"),
    ("", 1, r"(?i)the Dockerfile.* cannot be empty|file with no instructions|no build stage"),
    (
        "FROM busybox\nCOPY nothing /x\n",
        1,
        r"(?i)nothing.*(not found|no such file|does not exist)|(not found|no such file).*nothing",
    ),
    ("FROM nope\n", 1, r"repository does not exist|No such image: nope|no such host"),
    ("RUN true\n", 1, r"(?i)no build stage in current context|FROM"),
    ("FROM busybox\nCOPY --from=later x y\n", 1, r"later"),
]


@pytest.mark.parametrize(("dockerfile", "code", "words"), ERRORS)
def test_errors(docker: Docker, dockerfile: str, code: int, words: str) -> None:
    done = docker("build", "-", stdin=dockerfile)
    assert done.code == code, done
    assert re.search(words, done.err), done


def test_output_of_a_step_comes_through(docker: Docker) -> None:
    done = docker("build", "--no-cache", "-", stdin="FROM busybox\nRUN echo to stdout; echo to stderr >&2\n")
    assert "to stdout\n" in done.out
    assert "\x1b[91mto stderr\n\x1b[0m" in done.out


def test_an_interrupted_build_leaves_nothing_running(docker: Docker, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN echo up; sleep 600\n")
    running = docker.background("build", "--no-cache", str(tmp_path))
    assert running.stdout is not None
    with running.stdout as lines:
        while lines.readline() != b"up\n":
            pass
        running.terminate()
        running.wait(60)
    # The next build of the same engine is not in its way.
    assert "Successfully built" in build(docker, "FROM busybox\nRUN true\n", "--no-cache")
    assert docker.ok("ps", "-aq") == ""
