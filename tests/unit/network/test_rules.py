"""The packet rules: what a network adds and takes, and what a start repairs."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from labdock.network import rules
from labdock.network.records import Network

NFT = shutil.which("nft") or "/usr/sbin/nft"


def network(letter: str, **changes: object) -> Network:
    fields: dict[str, object] = {
        "id": letter * 64, "name": letter, "driver": "bridge", "created": 0,
        "subnet": f"172.{20 + ord(letter) % 10}.0.0/16", "gateway": f"172.{20 + ord(letter) % 10}.0.1",
        "link": f"br-{letter * 12}",
    }  # fmt: skip
    return Network(**{**fields, **changes})  # type: ignore[arg-type]


def handles() -> dict[str, str]:
    """Each rule's handle in the kernel: a reload would change it."""
    command = [NFT, "-a", "list", "table", *rules.TABLE.split()]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(line.strip().split(" # handle ") for line in listed.splitlines() if " # handle " in line)


@pytest.mark.sandbox
def test_networks_come_and_go_and_touch_no_other() -> None:
    stays, comes = network("a", subnet6="fd12::/64"), network("b", internal=True, icc=False)
    rules.run(NFT, rules.repairs("", [stays]))
    before = handles()
    rules.run(NFT, rules.added(comes))
    rules.run(NFT, rules.added(comes))
    listed = rules.listed(NFT)
    assert "network b: internal, no way out" in listed
    assert "network b: its containers don't reach another" in listed
    rules.run(NFT, rules.removed(comes))
    assert handles() == before


@pytest.mark.sandbox
def test_a_start_repairs_what_is_missing_and_nothing_else() -> None:
    whole, broken = network("a"), network("b")
    rules.run(NFT, rules.repairs("", [whole, broken]))
    assert rules.repairs(rules.listed(NFT), [whole, broken]) == ""
    before = handles()
    rules.run(NFT, f'delete element {rules.TABLE} networks {{ "{broken.link}" }}\n')
    repair = rules.repairs(rules.listed(NFT), [whole, broken])
    assert rules.chain_of(broken) in repair and rules.chain_of(whole) not in repair
    rules.run(NFT, repair)
    after = handles()
    assert rules.repairs(rules.listed(NFT), [whole, broken]) == ""
    assert {rule: at for rule, at in after.items() if "network b" not in rule} == {
        rule: at for rule, at in before.items() if "network b" not in rule
    }


@pytest.mark.sandbox
def test_what_a_network_that_is_gone_left_is_taken_away() -> None:
    here, gone = network("a"), network("b")
    rules.run(NFT, rules.repairs("", [here, gone]))
    before = handles()
    rules.run(NFT, rules.repairs(rules.listed(NFT), [here]))
    listed = rules.listed(NFT)
    assert gone.link not in listed and gone.subnet not in listed and rules.chain_of(gone) not in listed
    assert rules.repairs(listed, [here]) == ""
    assert {
        rule: at for rule, at in before.items() if "network b" not in rule and rules.chain_of(gone) not in rule
    } == handles()


@pytest.mark.sandbox
@pytest.mark.parametrize("name", ['we"b', "a;b}", "x" * 300, "ä € \n", "{ drop; }"])
def test_any_name_can_stand_in_a_comment(name: str) -> None:
    rules.run(NFT, rules.repairs("", [network("a", name=name)]))
    assert rules.repairs(rules.listed(NFT), [network("a", name=name)]) == ""
