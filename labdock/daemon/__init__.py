"""The processes: outer (host side), inner (pid 1 of the sandbox), engine; and how they start, talk and end."""
