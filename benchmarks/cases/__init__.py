"""The table of all cases."""

from . import _fits, _knockouts, _start, _stored

CASES = [*_knockouts.CASES, *_fits.CASES, *_start.CASES, *_stored.CASES]

__all__ = ["CASES"]
