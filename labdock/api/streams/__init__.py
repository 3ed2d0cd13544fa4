"""Byte streams to and from clients: taking over a connection, Docker's frames, detach keys, chunked answers."""
