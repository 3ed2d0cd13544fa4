"""Layers: file trees as OCI layer tars, and back. Pure headers, a bounded reader, a packer, a hostile-input unpacker.

Blocking; called in worker threads. Names are bytes throughout: a tar and a Linux folder hold bytes, not text.
"""
