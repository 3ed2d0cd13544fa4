"""Watching one container: conmon, its log, its exit file and its attach socket. In the engine process."""
