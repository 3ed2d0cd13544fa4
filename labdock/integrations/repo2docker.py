"""``repo2docker --engine labdock``: repositories become images, and run, without a Docker of somebody else's.

Found through the entry point ``repo2docker.engines``; needs jupyter-repo2docker, which brings docker-py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import docker
from repo2docker.docker import DockerContainer, DockerEngine
from repo2docker.engine import BuildError, Image

from labdock.client import connect
from labdock.client.engine import find_socket


class LabdockEngine(DockerEngine):  # type: ignore[misc]
    """This user's own engine, or the one that LABDOCK_HOST or DOCKER_HOST names; started at first use.

    The docker command line and its buildx are not needed: the engine's own builder knows what repo2docker writes.
    """

    def _client(self) -> Any:
        connect().system.ping()  # starts it
        socket, _ = find_socket(os.environ)
        return docker.DockerClient(base_url=f"unix://{socket}", version="auto", **self.extra_init_args)

    def build(
        self,
        *,
        push: bool = False,
        load: bool = False,
        buildargs: dict[str, str] | None = None,
        cache_from: list[str] | None = None,
        container_limits: dict[str, Any] | None = None,
        tag: str = "",
        custom_context: bool = False,
        dockerfile: str = "",
        fileobj: Any = None,
        path: str = "",
        labels: dict[str, str] | None = None,
        platform: str | None = None,
        **more: Any,
    ) -> Iterator[str]:
        """What the build says, piece by piece. Raises BuildError with the engine's words."""
        client = self._client()
        if self.registry_credentials:
            client.login(**self.registry_credentials)
        lines = client.api.build(
            path=path or None,
            fileobj=fileobj,
            custom_context=fileobj is not None,
            dockerfile=dockerfile or None,
            tag=tag or None,
            buildargs=buildargs or None,
            cache_from=cache_from or None,
            container_limits=container_limits or None,
            labels=labels or None,
            platform=platform,
            rm=True,
            decode=True,
        )
        yield from self._tell(lines)
        if push:
            yield from self._tell(client.api.push(tag, stream=True, decode=True))

    def _tell(self, lines: Any) -> Iterator[str]:
        for line in lines:
            if "error" in line:
                yield f"{line['error']}\n"
                raise BuildError(line["error"])
            if "stream" in line:
                yield line["stream"]
            elif "status" in line:
                yield f"{line['status']}\n"

    def inspect_image(self, image: str) -> Any:
        """Its tags and configuration; None when it is not here."""
        try:
            found = self._client().api.inspect_image(image)
        except docker.errors.ImageNotFound:
            return None
        return Image(tags=found["RepoTags"], config={"WorkingDir": "", **found["Config"]})

    def run(
        self,
        image_spec: str,
        *,
        command: list[str] | None = None,
        environment: list[str] | None = None,
        ports: dict[str, Any] | None = None,
        publish_all_ports: bool = False,
        remove: bool = False,
        volumes: dict[str, Any] | None = None,
        **more: Any,
    ) -> Any:
        """A started container."""
        return DockerContainer(
            self._client().containers.run(
                image_spec,
                command=command,
                environment=environment or [],
                detach=True,
                ports=ports or {},
                publish_all_ports=publish_all_ports,
                remove=remove,
                volumes=volumes or {},
                **more,
            )
        )
