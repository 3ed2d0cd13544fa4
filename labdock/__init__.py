"""labdock: a Docker engine that you pip install.

Importing this package is cheap: it loads none of its rooms. See ARCHITECTURE.md for what they are.
"""

__version__ = "0.1.0"
