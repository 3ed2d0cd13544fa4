"""The packet rules: one nftables table that explains itself (``nft list table inet labdock``). man 8 nft.

::

    forward:  answers pass · each network's containers go through its chain net-ID · nobody else reaches in
    net-ID:   its own containers (or not: enable_icc=false) · no other network · (internal) nothing else
    leave:    what stays among containers keeps its address · the rest leaves with that of the way out

Networks come and go as a chain, and as elements of the sets and the map; nothing that works is ever flushed.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable

from labdock.errors import SystemFailure
from labdock.network.records import Network

TABLE = "inet labdock"
#: The table's comment: another layout than this one is replaced as a whole, in one transaction.
LAYOUT = "layout 2"

_BASE = f"""\
table {TABLE} {{
  comment "labdock, {LAYOUT}"
  set bridges {{
    type ifname
    comment "the networks' bridges"
  }}
  set leaving {{
    type ipv4_addr
    flags interval
    comment "subnets that leave with the address of the way out"
  }}
  set leaving6 {{
    type ipv6_addr
    flags interval
    comment "the same for IPv6"
  }}
  map networks {{
    type ifname : verdict
    comment "the chain of each bridge's network"
  }}
  chain leave {{
    type nat hook postrouting priority srcnat; policy accept;
    oifname @bridges accept comment "what stays among containers keeps its address"
    ip saddr @leaving masquerade comment "the rest leaves with the address of the way out"
    ip6 saddr @leaving6 masquerade comment "the rest leaves with the address of the way out"
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    ct state established,related accept comment "answers"
    iifname vmap @networks
    oifname @bridges drop comment "nobody else reaches into a network"
  }}
}}
"""


def base() -> str:
    """The table without any network, in the place of whatever is there (nft runs a file as one transaction)."""
    return f"table {TABLE}\ndelete table {TABLE}\n{_BASE}"


def chain_of(network: Network) -> str:
    return f"net-{network.id[:12]}"


def added(network: Network) -> str:
    """What *network*, a bridge, adds to the table. May be said again: it is then as if said once."""
    chain, what = chain_of(network), f"network {_plain(network.name)}"
    within = (
        ("accept", "its containers reach each other") if network.icc else ("drop", "its containers don't reach another")
    )
    lines = [
        f'add chain {TABLE} {chain} {{ comment "{what}"; }}',
        f"flush chain {TABLE} {chain}",
        f'add rule {TABLE} {chain} oifname "{network.link}" {within[0]} comment "{what}: {within[1]}"',
        f'add rule {TABLE} {chain} oifname @bridges drop comment "{what}: closed to other networks"',
    ]
    if network.internal:
        lines.append(f'add rule {TABLE} {chain} drop comment "{what}: internal, no way out"')
    lines.append(f'add element {TABLE} bridges {{ "{network.link}" }}')
    lines.append(f'add element {TABLE} networks {{ "{network.link}" : jump {chain} }}')
    lines += [f"add element {TABLE} {name} {{ {subnet} }}" for name, subnet in _leaving(network)]
    return "\n".join(lines) + "\n"


def removed(network: Network) -> str:
    """The inverse of :func:`added`. Only for a network that is in the table."""
    chain = chain_of(network)
    lines = [
        f'delete element {TABLE} networks {{ "{network.link}" }}',
        f'delete element {TABLE} bridges {{ "{network.link}" }}',
        *(f"delete element {TABLE} {name} {{ {subnet} }}" for name, subnet in _leaving(network)),
        f"flush chain {TABLE} {chain}",
        f"delete chain {TABLE} {chain}",
    ]
    return "\n".join(lines) + "\n"


def repairs(listed: str, networks: Iterable[Network]) -> str:
    """What makes the table as *listed* ("": there is none) right for *networks*: "" when nothing is missing or left.

    A network that is wholly there is not touched.
    """
    bridges = [network for network in networks if network.driver == "bridge"]
    chains = set(re.findall(r"chain (net-[0-9a-f]{12}) \{", listed))
    jumps = set(re.findall(r"jump (net-[0-9a-f]{12})", listed))
    wanted = {chain_of(network) for network in bridges}
    if f'"labdock, {LAYOUT}"' not in listed:
        return base() + "".join(added(network) for network in bridges)
    swept = _sweep(listed, bridges, chains - wanted)
    return swept + "".join(added(network) for network in bridges if not _is_whole(listed, network, chains, jumps))


def _sweep(listed: str, bridges: list[Network], chains: set[str]) -> str:
    """Take away the elements of no network of *bridges*, and the *chains* of none."""
    links = {network.link for network in bridges}
    subnets = {subnet for network in bridges for _, subnet in _leaving(network)}
    lines = []
    for name, body in re.findall(r"(?:set|map) (\w+) \{(.*?)\n\t\}", listed, flags=re.DOTALL):
        found = re.search(r"elements = \{(.*?)\}", body, flags=re.DOTALL)
        elements = [element.split(" : ")[0].strip() for element in found[1].split(",")] if found else []
        keep = subnets if name.startswith("leaving") else {f'"{link}"' for link in links}
        lines += [f"delete element {TABLE} {name} {{ {element} }}" for element in elements if element not in keep]
    for chain in sorted(chains):
        lines += [f"flush chain {TABLE} {chain}", f"delete chain {TABLE} {chain}"]
    return "".join(f"{line}\n" for line in lines)


def _is_whole(listed: str, network: Network, chains: set[str], jumps: set[str]) -> bool:
    chain = chain_of(network)
    subnets = all(subnet in listed for _, subnet in _leaving(network))
    return chain in chains and chain in jumps and f'"{network.link}"' in listed and subnets


def _leaving(network: Network) -> list[tuple[str, str]]:
    """The set and the subnet of each family that leaves masqueraded."""
    if network.internal or not network.masquerade:
        return []
    return [(name, net) for name, net in (("leaving", network.subnet), ("leaving6", network.subnet6)) if net]


def _plain(name: str) -> str:
    """A network's name as a comment may have it: nft knows no escapes there, and 128 bytes."""
    return re.sub(r"[^A-Za-z0-9_.:-]", "?", name)[:48]


def listed(nft: str) -> str:
    """The table as the kernel has it; "" when there is none."""
    command = [nft, "list", "table", *TABLE.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    return done.stdout if done.returncode == 0 else ""


def run(nft: str, script: str) -> None:
    """Have the kernel do all of *script* or nothing. Blocks for some milliseconds. SystemFailure with nft's words."""
    try:
        done = subprocess.run([nft, "-f", "-"], input=script, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SystemFailure(f"loading the packet rules by {nft}: {error}") from error
    if done.returncode != 0:
        raise SystemFailure(f"loading the packet rules by {nft}: {done.stderr.strip()}\n{script}")
