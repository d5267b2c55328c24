"""Cases of knockouts: time, rate, cores, memory."""

from __future__ import annotations

from .._case import Case, Claim, Contestant, largest_difference, number, seconds, times_faster

_CHOICES = {"common": "2,000 common genes", "variable": "2,000 variable genes"}
# How many times faster than the network, for each knockout: on dense batches, and in the reference's loop.
_BARS: dict[str, tuple[int | None, int | None]] = {"common": (500, 5_500), "variable": (400, None)}
# Gene updates per second, of impacts alone and with downstream impacts.
_RATES: dict[str, tuple[float | None, float | None]] = {"common": (1.6, 1.1), "published": (1.0, None)}
_PUBLISHED = 'preset="paper", 2,000 common genes'


def _scan(choice: str, genes: str) -> tuple[list[Contestant], list[Claim]]:
    ours, dense, loop = f"dko.tl.scan, {genes}", f"dense batches, {genes}", f"reference's loop, {genes}"
    cells, published = {"cells": choice}, choice == "published"
    engine, formula = f"impacts alone, {genes}", f"formula, {genes}"
    contestants = [
        Contestant(ours, "contestants.scan:whole", cells | {"n_sample": 20_000}),
        Contestant(engine, "contestants.scan:kernel", cells),
        Contestant(
            dense, "contestants.scan:dense_batches", cells | {"n_sample": 20_000, "batch_size": 512}, {"n_sample": 200}
        ),
        Contestant(loop, "contestants.scan:one_at_a_time", cells | {"n_sample": 1_000}, {"n_sample": 50}),
    ]
    faster = [
        times_faster(
            f"{genes}: {what} faster than the network {how}, per knockout", fast, other, each=True, at_least=bar
        )
        for how, other, at_least in zip(
            ("on dense batches", "in the reference's loop"), (dense, loop), _BARS.get(choice, (None, None)), strict=True
        )
        for what, fast, bar in (("impacts", engine, at_least), ("dko.tl.scan, both impacts,", ours, None))
    ]
    if published:
        return contestants, [
            *faster,
            largest_difference(f"{genes}: largest difference from the dense batches", ours, dense, at_most=1e-5),
            largest_difference(f"{genes}: largest difference from the reference's loop", ours, loop, at_most=1e-5),
        ]
    contestants.append(Contestant(formula, "contestants.scan:formula", cells | {"n_sample": 2_000}, {"n_sample": 50}))
    return contestants, [
        *faster,
        largest_difference(f"{genes}: largest difference from the formula", ours, formula, at_most=1e-6),
    ]


_SCANS = [_scan(choice, genes) for choice, genes in (_CHOICES | {"published": _PUBLISHED}).items()]

_ACCOUNT = """A gene update is the new output of one present gene after one knockout: a cell of n present genes takes
n² of them for all its single knockouts. The bars are for CPU seconds from the CSR matrix to the impacts.

What bounds the loops (from single measurements while they were written, on a Zen 4 at about 3.5 GHz, which works off
512 bits as two halves). Each knockout is two passes over the genes of a cell: a product and a sum, then a product, a
sum, a modulus, a product and a sum, with two loads of 64 bytes each for sixteen genes. LLVM makes them of vectors, four
side by side; alone, over rows in the first-level cache, the two passes take 0.60 and 0.60 ns for sixteen genes, which
is one load per cycle, all that the processor can do: the *load port* is the bound, not the arithmetic. Cells come from
the second-level cache, 65 to 250 at a time, without a loss (0.63 ns), and the row of the gene that is knocked out
stays in the first, as the loop over genes is outside that over cells. Alignment makes no difference that could be
measured.

Two things are paid on top. Common genes are read whether a cell has them or not, so that nothing has to be looked up:
of the 2,000 common genes of PBMC 3k a third are there. Other genes are looked up one by one, 1.1 ns each against
0.14 ns for one that is read in order: with a bound at one cell in eight both cost the same. And about 60 ns of each
knockout are neither: its place, its own share, divisions, the sums over vectors. Common genes: 255 ns for a knockout of
566 present genes, of which 150 ns are the two passes.

The published link has an absolute value inside the sum and needs the outputs twice, so it writes a row beside the four
that are read: 1.9 ns for sixteen genes instead of 1.2 to 1.4. Its weighted sums are one dense product, 0.2 s of a
scan, however few genes a cell has.

Tried and no faster: sixty-four knockouts side by side in tables of the map (a third to half of the rate); looking up
all genes (less than half of the rate for common ones) or none (three quarters of it for variable ones); slices of
arrays instead of positions in them (numba counts references to every slice: a fifth to a third of the time);
recomputing the outputs of the published link instead of keeping them (the same)."""

_ON_CORES = {"engine": "contestants.scan:kernel", "dko.tl.scan": "contestants.scan:whole"}

CASES = [
    Case(
        "scan",
        "All single knockouts of PBMC 3k, one core",
        [contestant for contestants, _ in _SCANS for contestant in contestants],
        [claim for _, claims in _SCANS for claim in claims],
        inputs=[*_CHOICES, "published"],
        note="The alternatives run on a sample of the same knockouts, all of one cell after the other, with the "
        "network of the same fit; by default the knockouts of `dko` are of total effects, and are compared with their "
        "formula in double precision. `dko.tl.scan` is timed from AnnData to AnnData. The variable genes are those "
        "that `dko` takes by default; the common ones are those that most cells express, the most work per knockout.",
    ),
    Case(
        "rate",
        "Rate of the kernel, one core",
        [
            Contestant(f"kernel, {genes}", "contestants.scan:kernel", {"cells": choice})
            for choice, genes in (_CHOICES | {"published": _PUBLISHED}).items()
        ],
        [
            number(
                f"{genes}: gene updates per CPU second, {what}", f"kernel, {genes}", figure, unit="G/s", at_least=bar
            )
            for choice, genes in (_CHOICES | {"published": _PUBLISHED}).items()
            for what, figure, bar in (
                ("impacts", "G updates per CPU-s", _RATES.get(choice, (None, None))[0]),
                ("impacts and downstream impacts", "G updates per s, both", _RATES.get(choice, (None, None))[1]),
                ("in the loops alone", "G updates per s in loops", None),
            )
        ],
        inputs=[*_CHOICES, "published"],
        note=_ACCOUNT,
    ),
    Case(
        "cores",
        "Two cores against one, all single knockouts of PBMC 3k",
        [
            Contestant(f"{what}, {threads} core{'s' * (threads > 1)}", entry, {"cells": "common"}, threads=threads)
            for what, entry in _ON_CORES.items()
            for threads in (1, 2)
        ],
        [
            times_faster(f"{what}: two cores faster than one", f"{what}, 2 cores", f"{what}, 1 core", at_least=1.8)
            for what in _ON_CORES
        ],
        inputs=["common"],
        repeats=9,
    ),
    Case(
        "cluster",
        "Two workers of a dask cluster against one, all single knockouts of 27,000 cells, from a file to a file",
        [
            Contestant(
                f"{number} worker{'s' * (number > 1)}",
                "contestants.scan:on_cluster",
                {"cells": "tiled", "n_workers": number},
            )
            for number in (1, 2)
        ],
        [times_faster("two workers faster than one", "2 workers", "1 worker", at_least=1.6)],
        inputs=["tiled"],
        note="The 2,000 common genes of PBMC 3k, its 2,700 cells ten times, in an .h5ad file that the workers read; "
        "both impacts go to a .zarr store. A LocalCluster, whose workers are processes with one thread each: what the "
        "calling process does, and the scheduler in it, is done on the same cores.",
    ),
    Case(
        "double",
        "50,000 sampled double knockouts of the reference's 100 genes x 500 cells, one core",
        [
            Contestant("dko.tl.double_ko", "contestants.double:sampled", {"n": 50_000, "n_sample": 500}, {"n": 500}),
            Contestant(
                "reference's loop", "contestants.double:one_at_a_time", {"n": 50_000, "n_sample": 500}, {"n": 500}
            ),
        ],
        [
            seconds("time of 50,000 doubles, after compilation", "dko.tl.double_ko", at_most=0.1),
            times_faster(
                "faster than the reference's loop, per double", "dko.tl.double_ko", "reference's loop", each=True
            ),
            largest_difference(
                "largest difference from the reference's loop", "dko.tl.double_ko", "reference's loop", at_most=1e-5
            ),
        ],
        inputs=["reference"],
        note="`dko.tl.double_ko` also makes both single knockouts of every pair, for the interaction.",
    ),
    Case(
        "memory",
        "Memory of a scan beyond its input and its result",
        [
            Contestant(name, "contestants.scan:whole", {"cells": cells}, threads=None)
            for name, cells in (("2,700 cells", "common"), ("27,000 cells", "tiled"))
        ],
        [
            number(f"{name}: extra memory", name, "extra beyond result", unit="MB", at_most=500)
            for name in ("2,700 cells", "27,000 cells")
        ],
        inputs=["common", "tiled"],
        repeats=3,
        note="The 2,000 common genes; 27,000 cells are the 2,700 ten times.",
    ),
]
