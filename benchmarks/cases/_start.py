"""Cases of what a user waits for before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._case import Case, Claim, Contestant, number, seconds

if TYPE_CHECKING:
    from .._case import Value

_PARTS = ["dko", "dko.tl", "dko.get", "dko.pl", "dko.io", "dko.datasets", "dko.metrics", "dko.pp"]
_IMPORTS = {"import dko": _PARTS[:1], "import dko and all its parts": _PARTS, "import anndata": ["anndata"]}


def _import_claims(name: str) -> list[Claim]:
    def beyond(clock: str) -> Value:
        return lambda outcomes: outcomes[name][clock] - outcomes["import anndata"][clock]

    return [
        Claim(f"{name}: time beyond that of `import anndata`", beyond("wall"), beyond("cpu"), unit="s", at_most=0.3),
        number(f"{name}: how many of torch, scanpy.pl, numba, matplotlib it loads", name, "heavy", at_most=0),
    ]


CASES = [
    Case(
        "import",
        "Import in a fresh process",
        [Contestant(name, "contestants.start:packages", {"names": names}) for name, names in _IMPORTS.items()],
        [claim for name in list(_IMPORTS)[:2] for claim in _import_claims(name)],
        repeats=9,
        note="Without its parts, which come when they are first named, dko does not even load anndata.",
    ),
    Case(
        "compile",
        "First knockouts in a fresh process",
        [
            Contestant("kernels compiled", "contestants.start:first_calls", {"compiled": False}, threads=None),
            Contestant("kernels cached", "contestants.start:first_calls", {"compiled": True}, threads=None),
        ],
        [
            seconds("first calls of all verbs, nothing cached", "kernels compiled", at_most=10),
            seconds("first calls of all verbs, cached on disk", "kernels cached"),
        ],
        inputs=["reference"],
        repeats=3,
    ),
]
