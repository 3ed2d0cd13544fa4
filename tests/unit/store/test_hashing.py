"""Hashing beside the work: the same digest as at once, whatever the sizes, and no thread left behind."""

from __future__ import annotations

import hashlib
import threading

import pytest

from labdock.store.layers.hashing import ALONE, Sha256


@pytest.mark.parametrize("size", [0, 1, ALONE, ALONE + 1, 3 * ALONE + 17])
def test_the_digest_is_the_same_as_at_once(size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    before = threading.active_count()
    with Sha256() as hasher:
        for start in range(0, size, 300_000):
            hasher.update(memoryview(data)[start : start + 300_000])
        assert hasher.hexdigest() == hashlib.sha256(data).hexdigest()
        assert hasher.hexdigest() == hashlib.sha256(data).hexdigest()
    assert threading.active_count() == before


def test_leaving_it_early_ends_the_thread() -> None:
    before = threading.active_count()
    with pytest.raises(RuntimeError), Sha256() as hasher:
        for _ in range(12):
            hasher.update(bytes(1 << 20))
        assert threading.active_count() == before + 1
        raise RuntimeError
    assert threading.active_count() == before
