"""OCI values as they are written."""

from __future__ import annotations

import msgspec
import pytest

from labdock.schema.oci import ImageConfig, RootFS, chain_ids, encode_config


@pytest.mark.parametrize("config", [ImageConfig(), ImageConfig(rootfs=RootFS(diff_ids=("sha256:1",)), author="a")])
def test_a_config_says_what_the_specification_requires_even_where_it_is_the_default(config: ImageConfig) -> None:
    written = msgspec.json.decode(encode_config(config))
    assert written["architecture"] == "amd64"
    assert written["os"] == "linux"
    assert written["rootfs"] == {"type": "layers", "diff_ids": list(config.rootfs.diff_ids)}
    assert msgspec.json.decode(encode_config(config), type=ImageConfig) == config


def test_the_first_chain_id_is_the_diff_id_and_each_further_one_names_all_below() -> None:
    first, second, third = chain_ids(("sha256:a", "sha256:b", "sha256:c"))
    assert first == "sha256:a"
    assert chain_ids(("sha256:a", "sha256:b"))[1] == second
    assert len({first, second, third}) == 3
