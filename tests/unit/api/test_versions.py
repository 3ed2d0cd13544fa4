"""What older clients are shown."""

from __future__ import annotations

from typing import Any

import pytest

from labdock.api import versions


@pytest.mark.parametrize(("version", "virtual"), [((1, 24), 5), ((1, 43), 5), ((1, 44), None), ((1, 51), None)])
def test_a_virtual_size_is_shown_up_to_1_43(version: tuple[int, int], virtual: int | None) -> None:
    assert versions.age_images([{"Size": 5}], version)[0].get("VirtualSize") == virtual
    assert versions.age_image_inspect({"Size": 5}, version).get("VirtualSize") == virtual
    assert versions.age_disk_usage({"Images": [{"Size": 5}]}, version)["Images"][0].get("VirtualSize") == virtual


@pytest.mark.parametrize(
    ("version", "client", "shown"),
    [
        ((1, 38), "", True),
        ((1, 44), "", True),
        ((1, 45), "", False),
        ((1, 51), "docker-compose/1.29.2 docker-py/5.0.3", True),
        ((1, 51), "docker-compose/2.20", False),
    ],
)
def test_docker_compose_finds_the_container_config_that_it_reads(
    version: tuple[int, int], client: str, shown: bool
) -> None:
    image = versions.age_image_inspect({"Size": 5, "Config": {"Volumes": {"/v": {}}}}, version, client)
    assert image.get("ContainerConfig") == ({"Volumes": {"/v": {}}} if shown else None)


@pytest.mark.parametrize(("version", "aliases"), [((1, 44), ["web", "0" * 12, "host"]), ((1, 45), ["web"])])
def test_aliases_hold_the_short_id_up_to_1_44(version: tuple[int, int], aliases: list[str]) -> None:
    networks: dict[str, Any] = {"own": {"Aliases": ["web"]}, "bridge": {"Aliases": None}}
    container = {"Id": "0" * 64, "Config": {"Hostname": "host"}, "NetworkSettings": {"Networks": networks}}
    shown = versions.age_container(container, version)["NetworkSettings"]["Networks"]
    assert shown == {"own": {"Aliases": aliases}, "bridge": {"Aliases": None}}


@pytest.mark.parametrize(("version", "shown"), [((1, 41), True), ((1, 42), False)])
def test_the_builders_size_is_shown_up_to_1_41(version: tuple[int, int], shown: bool) -> None:
    assert ("BuilderSize" in versions.age_disk_usage({"BuilderSize": 1}, version)) is shown
