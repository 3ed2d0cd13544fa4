"""``network create``, ``ls``, ``inspect``, ``connect``, ``disconnect``, ``rm``, ``prune``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from labdock.commands import values
from labdock.commands.filters import filters
from labdock.commands.foreign import refused, swarm_only
from labdock.commands.inspecting import inspect_by
from labdock.commands.lifecycle import each
from labdock.commands.results import Result, Text, mark_short, render
from labdock.commands.tree import command

if TYPE_CHECKING:
    from labdock.commands.face import Face

COLUMNS = (("NETWORK ID", "ID"), ("NAME", "Name"), ("DRIVER", "Driver"), ("SCOPE", "Scope"))
WARNING = "WARNING! This will remove all custom networks not used by at least one container."
inspect = inspect_by("network")
# Docker's diagnostics of a Swarm's networks: without one they add nothing.
inspect.params.append(click.Option(["-v", "--verbose"], is_flag=True, expose_value=False, help="A Swarm's"))


@command("ls")
@click.option("-f", "--filter", "conditions", multiple=True, help='Provide filter values (e.g. "driver=bridge")')
@click.option("--format", "form", help="Format output using a Go template")
@click.option("--no-trunc", is_flag=True, help="Do not truncate the output")
@click.option("-q", "--quiet", is_flag=True, help="Only display network IDs")
@click.pass_obj
def listing(face: Face, /, conditions: tuple[str, ...], form: str | None, no_trunc: bool, quiet: bool) -> Result:
    """List networks."""
    found = sorted(face.client.networks.list(filters(conditions)), key=lambda network: network.name)
    rows = [
        {
            "ID": mark_short(network.id, whole=no_trunc),
            "Name": network.name,
            "Driver": network.driver,
            "Scope": network.scope,
            "CreatedAt": network.created,
            "IPv4": str(bool(network.raw.get("EnableIPv4", True))).lower(),
            "IPv6": str(bool(network.raw.get("EnableIPv6"))).lower(),
            "Internal": str(network.internal).lower(),
            "Labels": ",".join(f"{name}={value}" for name, value in sorted(network.labels.items())),
        }
        for network in found
    ]
    return render(found, rows, COLUMNS, form=form, quiet="ID" if quiet else None, empty="no networks", kind="networks")


@command("create")
@click.option("--attachable", is_flag=True, help="Enable manual container attachment")
@click.option("--aux-address", multiple=True, help="Auxiliary IPv4 or IPv6 addresses used by Network driver")
@refused("--config-from", words="labdock has no configuration-only networks", hint="give the options themselves")
@refused("--config-only", words="labdock has no configuration-only networks", flag=True)
@click.option("-d", "--driver", default="bridge", help="Driver to manage the Network")
@click.option("--gateway", multiple=True, help="IPv4 or IPv6 Gateway for the master subnet")
@swarm_only("--ingress", flag=True)
@click.option("--internal", is_flag=True, help="Restrict external access to the network")
@click.option("--ip-range", multiple=True, help="Allocate container ip from a sub-range")
@click.option("--ipam-driver", default="default", help="IP Address Management Driver")
@click.option("--ipam-opt", multiple=True, help="Set IPAM driver specific options")
@click.option("--ipv4/--no-ipv4", default=None, help="Enable or disable IPv4 address assignment")
@click.option("--ipv6/--no-ipv6", default=None, help="Enable or disable IPv6 address assignment")
@click.option("--label", multiple=True, help="Set metadata on a network")
@click.option("-o", "--opt", multiple=True, help="Set driver specific options")
@click.option("--scope", default="", help="Control the network's scope")
@click.option("--subnet", multiple=True, help="Subnet in CIDR format that represents a network segment")
@click.argument("network")
@click.pass_obj
def create(face: Face, /, network: str, **options: Any) -> Result:
    """Create a network."""
    from labdock.commands.network_options import pools

    auxiliary = values.key_values(options["aux_address"])
    body: dict[str, Any] = {
        "Name": network,
        "Driver": options["driver"],
        "Scope": options["scope"],
        "Internal": options["internal"],
        "Attachable": options["attachable"],
        "Options": values.key_values(options["opt"]),
        "Labels": values.key_values(options["label"]),
        "IPAM": {
            "Driver": options["ipam_driver"],
            "Options": values.key_values(options["ipam_opt"]),
            "Config": pools(options["subnet"], options["ip_range"], options["gateway"], auxiliary),
        },
    }
    for name in ("ipv4", "ipv6"):
        if options[name] is not None:
            body[f"EnableIP{name[2:]}"] = options[name]
    return Text(face.client.networks.create(body))


@command("connect")
@click.option("--alias", multiple=True, help="Add network-scoped alias for the container")
@click.option("--driver-opt", multiple=True, help="driver options for the network")
@click.option("--gw-priority", type=int, default=0, help="Highest gw-priority provides the default gateway")
@click.option("--ip", default="", help='IPv4 address (e.g., "172.30.100.104")')
@click.option("--ip6", default="", help='IPv6 address (e.g., "2001:db8::33")')
@click.option("--link", multiple=True, help="Add link to another container")
@click.option("--link-local-ip", multiple=True, help="Add a link-local address for the container")
@click.argument("network")
@click.argument("container")
@click.pass_obj
def connect(face: Face, /, network: str, container: str, **options: Any) -> Result:
    """Connect a container to a network."""
    from labdock.commands.network_options import Place, settings_of

    place = Place(
        # Whether it can have aliases is the engine's to say: only it knows what the name stands for.
        "user-defined",
        aliases=list(options["alias"]),
        links=list(options["link"]),
        ip=options["ip"],
        ip6=options["ip6"],
        link_local=list(options["link_local_ip"]),
        driver_opts=values.key_values(options["driver_opt"]),
        priority=options["gw_priority"],
    )
    face.client.networks.connect(network, container, settings_of(place))
    return Text("")


@command("disconnect")
@click.option("-f", "--force", is_flag=True, help="Force the container to disconnect from a network")
@click.argument("network")
@click.argument("container")
@click.pass_obj
def disconnect(face: Face, /, network: str, container: str, force: bool) -> Result:
    """Disconnect a container from a network."""
    face.client.networks.disconnect(network, container, force=force)
    return Text("")


@command("rm")
@click.option("-f", "--force", is_flag=True, help="Do not error if the network does not exist")
@click.argument("networks", nargs=-1, required=True)
@click.pass_obj
def remove(face: Face, /, networks: tuple[str, ...], force: bool) -> Result:
    """Remove one or more networks."""
    from labdock.errors import NoSuchNetwork

    def drop(name: str) -> None:
        try:
            face.client.networks.remove(name)
        except NoSuchNetwork:
            if not force:
                raise

    return each(face, networks, drop)


@command("prune")
@click.option("--filter", "conditions", multiple=True, help='Provide filter values (e.g. "until=<timestamp>")')
@click.option("-f", "--force", is_flag=True, help="Do not prompt for confirmation")
@click.pass_obj
def prune(face: Face, /, conditions: tuple[str, ...], force: bool) -> Result:
    """Remove all unused networks."""
    if not force:
        from labdock.commands.disk import confirm

        if not confirm(face, f"{WARNING}\nAre you sure you want to continue?"):
            return Text("")
    gone = face.client.networks.prune(filters(conditions))
    return Text("Deleted Networks:\n" + "".join(f"{name}\n" for name in gone) if gone else "")
