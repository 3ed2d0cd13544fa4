"""Manifests from elsewhere: what is taken, and what is refused with which words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from labdock.errors import Corrupt, LabdockError, Unsupported
from labdock.images import manifests
from labdock.images.catalog import parse_config
from labdock.schema import oci

DIGEST = "sha256:" + "a" * 64
DESCRIPTOR = {"mediaType": oci.LAYER_GZIP, "digest": DIGEST, "size": 1}


def make(**changes: Any) -> bytes:
    config = {"mediaType": oci.CONFIG, "digest": DIGEST, "size": 2}
    return json.dumps({"schemaVersion": 2, "config": config, "layers": [DESCRIPTOR], **changes}).encode()


@pytest.mark.parametrize("kind", sorted(manifests.LAYERS))
def test_layers_of_both_kinds_are_taken(kind: str) -> None:
    found = manifests.read_manifest(make(layers=[{**DESCRIPTOR, "mediaType": kind}], annotations=None))
    assert found.layers[0].media_type == kind


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (
            {"layers": [{**DESCRIPTOR, "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"}]},
            Unsupported,
            "non-distributable",
        ),
        (
            {"layers": [{**DESCRIPTOR, "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"}]},
            Unsupported,
            "non-distributable",
        ),
        ({"layers": [{**DESCRIPTOR, "mediaType": "text/plain"}]}, Unsupported, "no layer's"),
        ({"layers": [{**DESCRIPTOR, "digest": "sha256:../../etc"}]}, Corrupt, "names the blob"),
        ({"layers": [{**DESCRIPTOR, "size": -1}]}, Corrupt, "-1 bytes"),
        ({"layers": [DESCRIPTOR] * 501}, Corrupt, "501 layers"),
        ({"config": {**DESCRIPTOR, "mediaType": "application/vnd.cncf.helm.config.v1+json"}}, Unsupported, "artifact"),
        ({"config": {"mediaType": oci.CONFIG, "digest": DIGEST, "size": 9 << 20}}, Corrupt, "config of"),
        ({"layers": 3}, Corrupt, "does not parse"),
        ({"config": None}, Corrupt, "does not parse"),
    ],
)
def test_what_can_not_be_an_image_here_is_refused(
    change: dict[str, Any], error: type[LabdockError], words: str
) -> None:
    with pytest.raises(error, match=words):
        manifests.read_manifest(make(**change))


def test_schema_one_is_refused_with_a_way_out() -> None:
    with pytest.raises(Unsupported, match="schema 1") as caught:
        manifests.describe(b'{"schemaVersion": 1}', "application/vnd.docker.distribution.manifest.v1+prettyjws")
    assert "skopeo" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("body", "said", "kind"),
    [
        ({"manifests": []}, "application/json", oci.INDEX),
        ({"layers": []}, "", oci.MANIFEST),
        ({"mediaType": oci.DOCKER_INDEX, "manifests": []}, "application/json", oci.DOCKER_INDEX),
        ({"layers": []}, f"{oci.DOCKER_MANIFEST}; charset=utf-8", oci.DOCKER_MANIFEST),
    ],
)
def test_the_type_of_a_manifest_is_found_when_the_server_does_not_know_it(
    body: dict[str, Any], said: str, kind: str
) -> None:
    data = json.dumps({"schemaVersion": 2, **body}).encode()
    found = manifests.describe(data, said)
    assert (found.media_type, found.digest, found.size) == (kind, manifests.digest_of(data), len(data))


def test_nulls_of_go_programs_are_what_is_absent() -> None:
    config = parse_config(
        b'{"architecture":"arm64","config":{"Env":null,"Cmd":null,"Volumes":null,"Labels":{"a":"b"},"OnBuild":null},'
        b'"history":null,"rootfs":{"type":"layers","diff_ids":null},"created":null}'
    )
    assert config.architecture == "arm64" and config.config.labels == {"a": "b"} and config.rootfs.diff_ids == ()


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b'{"rootfs":{"diff_ids":["x"]}}', b"[" * 100_000])
def test_bytes_that_are_no_config_are_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt):
        parse_config(data)
