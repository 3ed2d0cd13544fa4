"""``kernel add``, ``list``, ``remove``; ``kernel launch`` is what a kernelspec runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from labdock import kernels
from labdock.commands import units, values
from labdock.commands.lifecycle import each
from labdock.commands.results import Exited, Result, printable, render
from labdock.commands.tree import command
from labdock.errors import InvalidRequest

if TYPE_CHECKING:
    from labdock.commands.face import Face
    from labdock.kernels.specs import KernelSpec

COLUMNS = (
    ("NAME", "Name"),
    ("DISPLAY NAME", "DisplayName"),
    ("IMAGE", "Image"),
    ("NETWORK", "Network"),
    ("LIMITS", "Limits"),
    ("MOUNTS", "Mounts"),
)


class KernelCard(Result):
    """A kernel that was added: ``name``, ``image``, ``spec`` (all of it)."""

    def __init__(self, spec: KernelSpec) -> None:
        self.spec = spec

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def image(self) -> str:
        return self.spec.image

    def __str__(self) -> str:
        return "\n".join(map(printable, [self.name, *(f"note: {note}" for note in self.spec.notes)]))

    def _repr_html_(self) -> str:
        from labdock.commands import html

        spec = self.spec
        faint = f'<span style="{html.FAINT}">'
        title = f"<b>{html.escape(spec.display_name)}</b> {faint}{html.escape(spec.name)}</span>"
        facts = [f"Python {spec.language_version}", "debugger" if spec.debugger else "no debugger"]
        facts += [f"network: {spec.network}", *filter(None, [_limits(spec)])]
        targets = [mount.removesuffix(":ro").removesuffix(":rw").rpartition(":")[2] for mount in spec.settings.mounts]
        facts += ["has the engine's socket"] if spec.settings.api_socket else []
        facts += [f"mounts: {', '.join(targets)}"] if targets else []
        lines = [f"{faint}{html.escape(' · '.join(facts))}</span>"]
        lines += [f"{faint}{html.escape(note)}</span>" for note in spec.notes]
        lines.append("Choose it as this or another notebook's kernel: Kernel → Change Kernel.")
        return html.card(title, lines, html.BUSY)


def _limits(spec: KernelSpec) -> str:
    settings = spec.settings
    memory = units.binary_size(settings.memory) if settings.memory else ""
    cpus = f"{settings.nano_cpus / 10**9:g} cpus" if settings.nano_cpus else ""
    return ", ".join(filter(None, [memory, cpus]))


@command("add")
@click.option("--cpus", help="Number of CPUs")
@click.option("--display-name", help="The name that Jupyter shows")
@click.option("-e", "--env", multiple=True, help="Set environment variables; nothing else of yours goes in")
@click.option("--install", is_flag=True, help="Build an image with ipykernel and ipywidgets in it first")
@click.option("-m", "--memory", help="Memory limit")
@click.option("--mount", "mounts", multiple=True, help="Bind mount a folder or a volume: SRC:DST[:ro]")
@click.option("--name", help="The kernelspec's name (default: the image's)")
@click.option("--network", default="", help="Connect the kernel to a network")
@click.option("--no-network", is_flag=True, help="Give the kernel no network; notebooks need none to speak to it")
@click.option("--no-provisioner", is_flag=True, help="For a Jupyter that has no labdock in its own environment")
@click.option("--python", help="The interpreter in the image (default: python3, then python)")
@click.option("--replace", is_flag=True, help="Take the place of a kernel of that name")
@click.option("-u", "--user", default="", help="User in the image (default: root, who is you outside: files are yours)")
@click.option("--use-api-socket", is_flag=True, help="Give the kernel this engine: its socket, and DOCKER_HOST")
@click.option("--wheels", help="With --install: a folder of wheels to install from, without a network")
@click.argument("image")
@click.pass_obj
def add(face: Face, /, image: str, env: tuple[str, ...], mounts: tuple[str, ...], **options: Any) -> Result:
    """Make an image a notebook kernel.

    The notebook's folder is mounted where it is, and --mount adds more. Kernels start as root in the image, which is
    you outside, with your rights and no more: files that they write are yours. With --user they belong to
    another user's id, who may not write to your folders. --install builds IMAGE-kernel by pip.
    """
    if options["no_network"] and options["network"]:
        raise InvalidRequest("--no-network and --network exclude each other")
    if options["wheels"] and not options["install"]:
        raise InvalidRequest("--wheels says what --install installs from", hint="--install --wheels FOLDER")
    import os

    environment = dict(text.partition("=")[::2] for text in values.environment(env, (), os.environ) if "=" in text)
    spec = kernels.add(
        image,
        name=options["name"],
        display_name=options["display_name"],
        mounts=mounts,
        memory=values.size(options["memory"]) if options["memory"] else 0,
        cpus=values.cpus(options["cpus"]) / 10**9 if options["cpus"] else 0,
        network="none" if options["no_network"] else options["network"],
        environment=environment,
        user=options["user"],
        python=options["python"],
        install=options["install"],
        wheels=options["wheels"],
        provisioner=not options["no_provisioner"],
        replace=options["replace"],
        api_socket=options["use_api_socket"],
        client=face.client,
        report=face.say,
    )
    return KernelCard(spec)


@command("ls")
@click.option("--format", "form", help="Format output using a Go template, or json")
@click.option("-q", "--quiet", is_flag=True, help="Only display names")
@click.pass_obj
def listing(face: Face, /, form: str | None, quiet: bool) -> Result:
    """List the kernels that labdock has made."""
    found = kernels.list_kernels()
    rows = [
        {
            "Name": spec.name,
            "DisplayName": spec.display_name,
            "Image": spec.image,
            "Network": spec.network,
            "Limits": _limits(spec),
            "Mounts": ", ".join(spec.settings.mounts),
            "Python": spec.language_version,
            "Debugger": spec.debugger,
            "Folder": spec.folder,
        }
        for spec in found
    ]
    empty = "no kernels in images: %container kernel add IMAGE"
    return render(found, rows, COLUMNS, form=form, quiet="Name" if quiet else None, empty=empty)


@command("rm")
@click.argument("names", nargs=-1, required=True)
@click.pass_obj
def remove(face: Face, /, names: tuple[str, ...]) -> Result:
    """Remove kernels from Jupyter. Running ones go on, and images stay."""
    return each(face, names, lambda name: kernels.remove(name).name)


@command("launch")
@click.option("--cpus", default="", help="Number of CPUs")
@click.option("-f", "connection_file", required=True, help="The front end's connection file")
@click.option("-e", "--env", "variables", multiple=True, help="Names of variables that go in")
@click.option("--image", required=True, help="The image")
@click.option("--image-id", default="", help="The image's id when it was looked into")
@click.option("--memory", type=int, default=0, help="Memory limit in bytes")
@click.option("--mount", "mounts", multiple=True, help="SRC:DST[:ro]")
@click.option("--network", default="", help="A network's name, or none")
@click.option("--python", default="python3", help="The interpreter in the image")
@click.option("--use-api-socket", "api_socket", is_flag=True, help="Give the kernel the engine's socket")
@click.option("--user", default="", help="User in the image")
@click.pass_obj
def launch(face: Face, /, connection_file: str, cpus: str, **options: Any) -> Result:
    """Run a kernel for a front end that ignores provisioners (a kernelspec's argv; not for typing)."""
    from labdock.kernels import relay
    from labdock.kernels.specs import Settings

    return Exited(relay.serve(Settings(nano_cpus=values.cpus(cpus) if cpus else 0, **options), connection_file))
