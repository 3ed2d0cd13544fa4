"""The packet rules: one nftables table that explains itself (``nft list table inet labdock``). man 8 nft."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable

from labdock.errors import SystemFailure
from labdock.network.records import Network

TABLE = "inet labdock"


def ruleset(networks: Iterable[Network]) -> str:
    """The table for all bridge *networks*, replacing what is there in one step (nft runs a file as one transaction).

    Connections that exist keep their translation: that is conntrack's, not the table's.
    """
    leaving, between = [], []
    for network in networks:
        if network.driver != "bridge":
            continue
        what = f"network {network.name}"
        if not network.internal:
            leaving.append(
                f'ip saddr {network.subnet} oifname != "{network.link}" masquerade'
                f' comment "{what}: its containers leave with the address of the way out"'
            )
        between.append(
            f'iifname "{network.link}" oifname "{network.link}" accept'
            f' comment "{what}: its containers reach each other"'
        )
        between.append(f'iifname "{network.link}" oifname "labdock*" drop comment "{what}: closed to other networks"')
        if network.internal:
            between.append(f'iifname "{network.link}" drop comment "{what}: internal, no way out"')
    return "\n".join(
        (
            f"table {TABLE}",
            f"delete table {TABLE}",
            f"table {TABLE} {{",
            "  chain leave {",
            "    type nat hook postrouting priority srcnat; policy accept;",
            *(f"    {rule}" for rule in leaving),
            "  }",
            "  chain forward {",
            "    type filter hook forward priority filter; policy accept;",
            '    ct state established,related accept comment "answers"',
            *(f"    {rule}" for rule in between),
            "  }",
            "}",
            "",
        )
    )


def apply(nft: str, networks: Iterable[Network]) -> None:
    """Have the kernel run the rules. Blocks for some milliseconds. Raises SystemFailure with nft's words."""
    text = ruleset(networks)
    try:
        done = subprocess.run([nft, "-f", "-"], input=text, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SystemFailure(f"loading the packet rules by {nft}: {error}") from error
    if done.returncode != 0:
        raise SystemFailure(f"loading the packet rules by {nft}: {done.stderr.strip()}\n{text}")


def are_there(nft: str, networks: Iterable[Network]) -> bool:
    """Whether the kernel has the table with the rules of every bridge in *networks*."""
    command = [nft, "list", "table", *TABLE.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    if done.returncode != 0:
        return False
    words = [word for n in networks if n.driver == "bridge" for word in (n.link, "" if n.internal else n.subnet)]
    return all(word in done.stdout for word in words)
