"""What `import --change` may say."""

from __future__ import annotations

import pytest

from labdock.build.changes import apply_changes
from labdock.errors import InvalidRequest
from labdock.schema.oci import ImageConfig, RuntimeConfig


def test_changes_add_up() -> None:
    base = ImageConfig(config=RuntimeConfig(env=("A=1",), working_dir="/srv"))
    found = apply_changes(
        base,
        [
            'CMD ["x", "y"]',
            "ENV B=$A C=3",
            "EXPOSE 80",
            "LABEL k=v",
            "USER nobody",
            "WORKDIR app",
            "VOLUME /data",
            "ENTRYPOINT top",
            "STOPSIGNAL SIGINT",
            "ONBUILD RUN x",
        ],
    ).config
    assert found.cmd == ("x", "y") and found.entrypoint == ("/bin/sh", "-c", "top")
    assert found.env == ("A=1", "B=1", "C=3") and found.labels == {"k": "v"} and found.user == "nobody"
    assert found.working_dir == "/srv/app" and "80/tcp" in found.exposed_ports and "/data" in found.volumes
    assert found.on_build == ("RUN x",)
    assert apply_changes(base, []) is base and apply_changes(base, [" "]) is base


@pytest.mark.parametrize("change", ["RUN x", "FROM y", "COPY a b", "ARG x", "SHELL ['x']", "nonsense", "ENV"])
def test_what_changes_more_than_the_config_is_refused(change: str) -> None:
    with pytest.raises(InvalidRequest):
        apply_changes(ImageConfig(), [change])
