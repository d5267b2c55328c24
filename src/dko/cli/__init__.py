"""The command line: ``dko demo | fit | ko | dose | scan | modules | evaluate | reproduce``."""

from ._main import main

__all__ = ["main"]
