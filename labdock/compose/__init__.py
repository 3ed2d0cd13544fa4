"""Compose files: what they mean (``loading.load``), in which order (``plan``), and carried out (``project``).

Everything up to ``requests`` is pure but for reading the files named; ``project`` works through :mod:`labdock.client`.
"""
