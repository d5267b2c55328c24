"""The command line: ``dko demo | fit | ko | scan | reproduce``."""

from ._main import main

__all__ = ["main"]
