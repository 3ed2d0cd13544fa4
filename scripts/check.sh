#!/bin/bash
# Style, types and architecture. Says each part that holds; all parts run even when one fails.
set -uo pipefail
umask 022
cd "$(dirname "$0")/.." || exit
status=0
cache=$(mktemp -d /tmp/labdock-check.XXXXXX)
trap 'rm -rf "$cache"' EXIT
# Whoever may not write here keeps no cache.
[ -w . ] && mypy_cache=.mypy_cache || mypy_cache=$cache/mypy
export RUFF_NO_CACHE=true PYTHONDONTWRITEBYTECODE=1 HYPOTHESIS_STORAGE_DIRECTORY="$cache/hypothesis"
part() {
    local name=$1
    shift
    if "$@" >"$cache/said" 2>&1; then echo "check: $name holds"; else
        cat "$cache/said"
        echo "check: $name does not hold" >&2
        status=1
    fi
}
part "ruff check" .venv/bin/ruff check --quiet --output-format concise .
part "ruff format" .venv/bin/ruff format --check --quiet .
part "mypy" .venv/bin/mypy --no-error-summary --cache-dir "$mypy_cache"
part "architecture" .venv/bin/python -m pytest -q --no-header tests/unit/test_architecture.py
exit $status
