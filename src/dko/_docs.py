"""Texts of the parameters that many functions share: a line ``%(name)s`` of a docstring becomes the text."""

from __future__ import annotations

import re
from collections.abc import Callable
from textwrap import indent
from typing import TypeVar

F = TypeVar("F", bound=Callable[..., object])

# docrep does the same and more, for a dependency that no user would need.
SHARED = {
    "adata": "adata\n    The AnnData of :func:`dko.tl.fit`, or another with the same genes, in any order.",
    "simulated": "adata\n    Cells, with all genes, of :func:`dko.datasets.grn` or :func:`dko.datasets.grn_types`.",
    "fit": "key, mod\n    Where the fit is.",
    "compute": "device\n    Where to compute.",
    "results": "key, mod\n    Where the results are.",
    "ranking": ('key_added\n    Where :func:`dko.tl.rank_genes` has put its result, if not at ``f"{key}_ranking"``.'),
    "labels": "genes\n    Knockouts, as in :func:`dko.tl.virtual_ko`, or their labels, in this order; by default all.",
    "groupby": (
        "groupby\n    ``obs`` column; by default that of :func:`dko.tl.rank_genes` or, without it, of the fit, if any."
    ),
    "split": (
        'split\n    Cells to predict: ``"test"``, ``"validation"`` or ``"train"``; by default the test cells or, where'
        "\n    there are none, the validation cells, which have chosen the weights."
    ),
    "ncols": "ncols\n    Most panels beside each other.",
    "absent": "Raises\n------\nKeyError\n    There is no such result, or not of what was named.",
    "groups": (
        "groups\n    Cells to use: names of groups of the `groupby` of the fit, a mapping ``{obs column: names}``, or "
        "a\n    boolean array or Series. Default: all cells; of an SCCVAE the control cells among them, as it\n"
        "    predicts no others."
    ),
    "device": (
        "device, batch_size\n    Where, and how many cells at a time, to compute; by default as many as fit the memory "
        "budget of\n    ``dko.settings``."
    ),
    "rng": "rng\n    Seed or generator of all random numbers; the same seed gives the same result.",
    "progress": "progress\n    Show a progress bar where the call takes longer than a second.",
    "copy": "copy\n    Return a changed copy instead of writing in place.",
    "sides": (
        "perturbed, control\n    Cells x genes, dense or sparse: profiles or counts.\nwithout\n    Columns of the "
        "perturbed genes, which are taken out of both sides first.\nlogged\n    Whether both sides are log values "
        "already, without these genes: see :func:`dko.metrics.log_profiles`."
    ),
    "splits": "n_splits\n    How many times cells are chosen, or halved, at random.",
    "predicted": "predicted\n    Effect, shape (genes,), whose sign does not count; genes that are NaN are left out.",
    "effects": "predicted, measured\n    Effects, shape (genes,); genes that are NaN in either are left out.",
    "changed": "changed\n    Genes that change significantly, as a mask: see :func:`dko.metrics.changed_genes`.",
    "samples": "a, b\n    Cells x components, at least 2 cells each.",
}
SHARED["scores"] = f"Parameters\n----------\n{SHARED['effects']}\n\nReturns\n-------"
SHARED["signs"] = f"Parameters\n----------\n{SHARED['effects']}\n{SHARED['changed']}\n\nReturns\n-------"
# Indented lines that follow say more of the ValueError.
SHARED["errors"] = (
    "Raises\n------\nKeyError\n    There is no such fit or result, gene, column or group, or a gene has no features.\n"
    "ValueError\n    An argument is out of range, or one of these:"
)
# How the docstrings of verbs go on after their parameters.
SHARED["written"] = (
    f"{SHARED['progress']}\n{SHARED['copy']}\n\nReturns\n-------\nNone, or the changed copy. Sets, in place of what an "
    "earlier call has set,"
)
# How the docstrings of getters of tables, and of plots, end.
SHARED["table"] = (
    SHARED["results"]
    + "\n\nReturns\n-------\nThe table, or what the parameters make of it.\n\n"
    + SHARED["absent"]
    + "\nValueError\n    A value that a parameter cannot have."
)
SHARED["plot"] = (
    SHARED["results"]
    + "\nax, show, return_fig\n    Axes to draw into; whether to show the figure (default: unless `ax` is given or the "
    "figure is\n    returned); whether to return it.\n\n"
    "Returns\n-------\nNone if shown, the figure with `return_fig`, otherwise the axes, a list where there are several "
    "panels.\n\nRaises\n------\nKeyError\n    What is to be drawn is not there, or nothing of that name.\nValueError\n"
    "    There is nothing to draw; a value that a parameter cannot have; `ax` for several panels."
)


def documented(function: F) -> F:
    """Fill the shared texts into the docstring of a function."""
    if function.__doc__:
        function.__doc__ = re.sub(
            r"^( *)%\((\w+)\)s$", lambda found: indent(SHARED[found[2]], found[1]), function.__doc__, flags=re.MULTILINE
        )
    return function
