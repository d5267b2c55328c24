"""The table of all cases."""

from . import _fits, _genes, _knockouts, _start, _stored

CASES = [*_knockouts.CASES, *_fits.CASES, *_genes.CASES, *_start.CASES, *_stored.CASES]

__all__ = ["CASES"]
