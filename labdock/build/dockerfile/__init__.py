"""The Dockerfile language (frontend 1.26): a pure parser with source ranges. No I/O, linear time, any thread.

``parse(text)`` gives a :class:`~labdock.build.dockerfile.instructions.Dockerfile` or raises DockerfileError.
"""

from labdock.build.dockerfile.parser import parse, parse_trigger

__all__ = ["parse", "parse_trigger"]
