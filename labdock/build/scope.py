"""The variables of a stage: what ENV and ARG made of them so far. The last one that set a name wins."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from labdock.build.plan import PROXIES


@dataclass(slots=True)
class Scope:
    """``env`` goes into the image; ``args`` are the ARGs that hold (an ENV of the same name ends one)."""

    env: dict[str, str] = field(default_factory=dict)
    args: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_image(cls, env: Iterable[str]) -> Scope:
        pairs = (entry.partition("=") for entry in env)
        return cls({name: value for name, _, value in pairs})

    def child(self) -> Scope:
        """The scope of a stage based on this one: it inherits the ARGs, too (as BuildKit)."""
        return Scope(dict(self.env), dict(self.args))

    @property
    def values(self) -> Mapping[str, str]:
        """What ``$name`` means here: a view, made without copying."""
        return ChainMap(self.args, self.env)

    def set_env(self, name: str, value: str) -> None:
        self.env[name] = value
        self.args.pop(name, None)

    def set_arg(self, name: str, value: str) -> None:
        self.args[name] = value

    def image_env(self) -> tuple[str, ...]:
        return tuple(f"{name}={value}" for name, value in self.env.items())

    def run_env(self) -> tuple[str, ...]:
        """The environment of a RUN step, proxies apart."""
        return tuple(f"{name}={value}" for name, value in self.values.items())


def proxy_env(build_args: Mapping[str, str], scope: Scope) -> tuple[str, ...]:
    """The predefined proxy arguments that were given; an ENV or ARG of the stage goes before them."""
    known = scope.values
    return tuple(
        f"{name}={value}" for name, value in sorted(build_args.items()) if name in PROXIES and name not in known
    )
