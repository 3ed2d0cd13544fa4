"""Handlers: one thin function per endpoint, one module per noun. They read parameters and ask the engine."""
