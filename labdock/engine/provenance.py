"""Provenance: who built an image from what, in SLSA's words (slsa.dev/provenance/v1). Pure.

Values of build arguments are left out: they may be secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import labdock
from labdock.schema.build_query import BuildQuery

BUILD_TYPE = "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md"
PREDICATE = "https://slsa.dev/provenance/v1"


def make_statement(
    query: BuildQuery, manifest: str, sources: Mapping[str, str], started: str, finished: str
) -> dict[str, Any]:
    """The in-toto statement about the image with *manifest*'s digest. *sources*: base images, name → id."""
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "predicateType": PREDICATE,
        "subject": [{"name": name, "digest": _digest(manifest)} for name in (query.names or ("_",))],
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "configSource": {"path": query.dockerfile, **({"uri": query.remote} if query.remote else {})},
                    "request": {
                        "frontend": "dockerfile.v0",
                        "target": query.target,
                        "platform": query.platform,
                        "args": sorted(query.build_args),
                        "contexts": sorted(query.contexts),
                    },
                },
                "resolvedDependencies": [
                    {"uri": f"docker-image://{name}", "digest": _digest(id)} for name, id in sorted(sources.items())
                ],
            },
            "runDetails": {
                "builder": {"id": f"labdock {labdock.__version__}"},
                "metadata": {"startedOn": started, "finishedOn": finished},
            },
        },
    }


def _digest(text: str) -> dict[str, str]:
    algorithm, _, value = text.partition(":")
    return {algorithm: value}
