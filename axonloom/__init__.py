"""axonloom: electron-microscopy volumes in, neurons out."""

__version__ = "0.1.0"
