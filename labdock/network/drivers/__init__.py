"""How each kind of network joins a container: one module per driver that needs the kernel."""
