"""When a cell's folder is sent along."""

from __future__ import annotations

import pytest

from labdock.commands.cell_context import takes_files


@pytest.mark.parametrize(
    "line",
    [
        "COPY a b",
        "  copy --chown=1 a b",
        "ADD x.tar /",
        'COPY ["a", "b"]',
        "COPY \\\n a b",
        "COPY \\\n# why\n a b",
        "RUN --mount=type=bind,target=/src make",
        "RUN --mount=target=/src make",
        "RUN --mount=type=cache,target=/c --mount=type=bind,target=/src make",
        "COPY <<a b /c/\ntext\na\n",
        "RUN <<end\necho\nend\nCOPY a b",
        "ADD https://example.invalid/x y /",
    ],
)
def test_it_takes_files(line: str) -> None:
    assert takes_files(f"FROM busybox\n{line}\n")


@pytest.mark.parametrize(
    "line",
    [
        "RUN echo COPY a b",
        "# COPY a b",
        "COPY --from=other a b",
        "COPY --chmod=755 --from=other a b",
        "COPY <<text /words\nCOPY a b\ntext",
        "COPY <<-'text' /words\nCOPY a b\n\ttext",
        "RUN <<end\nCOPY a b\nend",
        "RUN --mount=type=secret,id=a --mount=type=cache,target=/c make",
        "RUN --mount=from=other,target=/src make",
        "ADD https://example.invalid/x /",
        "ONBUILD COPY a b",
        "COPY <<text /words\nnever ended",
        "COPY \\",
    ],
)
def test_it_takes_none(line: str) -> None:
    assert not takes_files(f"FROM busybox\n{line}\n")
