"""The table of all cases."""

from . import _fits, _knockouts, _start

CASES = [*_knockouts.CASES, *_fits.CASES, *_start.CASES]

__all__ = ["CASES"]
