"""Kernels inside images: a notebook whose Python runs in a container.

::

    from labdock import kernels

    kernels.add("python:3.13", install=True)      # builds python-kernel:3.13 with ipykernel in it, then a kernelspec
    kernels.list_kernels()                        # [KernelSpec(name="python-3.13", …)]
    kernels.remove("python-3.13")

A kernelspec has two ways in, one launcher behind both (:mod:`labdock.kernels.launching`): the provisioner
``labdock-provisioner`` for what is made of jupyter_client, and its ``argv`` for front ends that ignore provisioners.
Either way the kernel listens on unix sockets in a folder of its own (:mod:`labdock.kernels.places`), so that its
container needs neither a network nor a port. Runs in Jupyter's process or in the user's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labdock.client import Client
    from labdock.kernels.specs import KernelSpec

__all__ = ["add", "list_kernels", "remove"]


def add(
    image: str,
    *,
    name: str | None = None,
    display_name: str | None = None,
    mounts: Sequence[str] = (),
    memory: int = 0,
    cpus: float = 0,
    network: str = "",
    environment: Mapping[str, str] | None = None,
    user: str = "",
    python: str | None = None,
    install: bool = False,
    wheels: str | None = None,
    provisioner: bool = True,
    replace: bool = False,
    api_socket: bool = False,
    client: Client | None = None,
    report: Callable[[str], None] | None = None,
) -> KernelSpec:
    """Make *image* a kernel that Jupyter offers, once the image was seen to have what a kernel needs.

    *name*: the kernelspec's, made of the image's by default (``python-3.13``). *mounts*: ``SRC:DST[:ro]``, SRC a folder
    (made absolute) or a volume's name. *memory* in bytes, 0 unlimited; *cpus*, 0 unlimited. *network*: a network's
    name, ``none`` for no network, "" for the default one. *environment*: what the kernel gets besides the image's own.
    *user*: of the image; root by default, whose files are the caller's. *install*: build an image with ipykernel and
    ipywidgets from *image* and take that (*wheels*: a folder to install them from without a network). *provisioner*:
    False for a Jupyter that has no labdock in its own environment. *replace* a kernel of that name. *api_socket*:
    give the kernel the engine's socket (and ``DOCKER_HOST``), so that labdock or docker in the image work with this
    engine. *report* is called with lines of a build.

    Blocks for a fraction of a second; with *install* for a build. Raises NoSuchImage, Conflict (the name is taken),
    InvalidRequest (no Python, no ipykernel, a mount that is none), Unsupported (no Jupyter here), EngineUnreachable.
    """
    from labdock.kernels import adding

    return adding.add(
        adding.Wish(
            image=image,
            name=name,
            display_name=display_name,
            mounts=tuple(mounts),
            memory=memory,
            cpus=cpus,
            network=network,
            environment=dict(environment or {}),
            user=user,
            python=python,
            wheels=wheels,
            provisioner=provisioner,
            replace=replace,
            api_socket=api_socket,
        ),
        install=install,
        client=client,
        report=report,
    )


def list_kernels() -> list[KernelSpec]:
    """The kernels that labdock has made, by name, wherever Jupyter looks for kernels. Asks no engine."""
    from labdock.kernels import specs

    return specs.find_all()


def remove(name: str) -> KernelSpec:
    """Take the kernel *name* from Jupyter; running ones go on, and the image stays. Raises NotFound, Forbidden."""
    from labdock.kernels import specs

    return specs.remove(name)
