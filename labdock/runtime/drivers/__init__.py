"""Runtime drivers. Each keeps the promises of :class:`labdock.runtime.RuntimeDriver`."""
