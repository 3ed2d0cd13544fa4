"""Syscalls and file descriptors, with no policy. Every failure is an OSError that names its object."""
