"""Cases of knockouts: time, rate, cores, memory."""

from __future__ import annotations

from .._case import Case, Claim, Contestant, largest_difference, number, seconds, times_faster

_CHOICES = {"variable": "2,000 variable genes", "common": "2,000 common genes"}


def _scan(choice: str, genes: str) -> tuple[list[Contestant], list[Claim]]:
    ours, dense, loop = f"dko.tl.scan, {genes}", f"dense batches, {genes}", f"reference's loop, {genes}"
    cells = {"cells": choice}
    contestants = [
        Contestant(ours, "contestants.scan:whole", cells | {"n_sample": 20_000}),
        Contestant(
            dense, "contestants.scan:dense_batches", cells | {"n_sample": 20_000, "batch_size": 512}, {"n_sample": 200}
        ),
        Contestant(loop, "contestants.scan:one_at_a_time", cells | {"n_sample": 1_000}, {"n_sample": 50}),
    ]
    claims = [
        times_faster(
            f"{genes}: faster than the network on dense batches, per knockout",
            ours,
            dense,
            each=True,
            at_least=600,
        ),
        times_faster(f"{genes}: faster than the reference's loop, per knockout", ours, loop, each=True, at_least=6_000),
        largest_difference(f"{genes}: largest difference from the dense batches", ours, dense, at_most=1e-5),
        largest_difference(f"{genes}: largest difference from the reference's loop", ours, loop, at_most=1e-5),
    ]
    return contestants, claims


_SCANS = [_scan(choice, genes) for choice, genes in _CHOICES.items()]

_ACCOUNT = """A gene update is the new output of one present gene after one knockout: a cell of n present genes takes
n² of them for all its single knockouts. Two bars are judged: the loops over knockouts by themselves, and the whole way
from the CSR matrix, with the weighted sums, the panels and the layout of the cells.

What bounds the loops (from single measurements while they were written). Every present gene j of a cell is one step
for sixteen knocked-out genes at once: the first loop reads a row of 64 bytes of the map (one line of the cache) and a
gene number, and adds; the second reads them again and a share of the profile, multiplies, subtracts, takes the modulus
and adds. This is what remains where an output keeps its sign whatever is knocked out (docs, design: the engine), more
than 99 percent of them. On the processor this was developed on (Zen 4, 3.66 GHz, which works off 512 bits as two
halves) the same instructions, unrolled by hand in C over rows in order in the first-level cache, take 0.42 and 0.60
ns; the loops take 1.1 to 1.2 ns there, with rows of present genes instead of consecutive ones, and about 1.5 ns in the
whole scan of common genes, where the 565 rows of a panel are 36 KB, more than the 32 KB of the first-level cache, and
cells and panels come from the second. So they attain 0.9 of that bound in the first-level cache and two thirds in the
scan. The other factor is how many of the sixteen lanes are genes that the cell has: a third of them for common genes,
a fifth for variable ones, although genes are sorted by prevalence; that is why variable genes are slower per update.
Tried and no faster: gathering the present genes number by number (1.1 to 1.8 G/s), panels of eight or of 32, half
panels where only one half is needed, keeping the outputs of the first loop, clustering the genes, sorting the genes of
a cell by row, larger and smaller pieces of cells, and reading backwards in the second loop. A panel is read from end to
end before its first use, which brings it from the third level at full speed; without that, variable genes
lose a third."""

_ON_CORES = {"engine": "contestants.scan:kernel", "dko.tl.scan": "contestants.scan:whole"}

CASES = [
    Case(
        "scan",
        "All single knockouts of PBMC 3k, one core",
        [contestant for contestants, _ in _SCANS for contestant in contestants],
        [claim for _, claims in _SCANS for claim in claims],
        inputs=list(_CHOICES),
        note="The alternatives run on a sample of the same knockouts, all of one cell after the other, with the same "
        "weights. `dko.tl.scan` is timed from AnnData to AnnData. The variable genes are those that `dko` takes by "
        "default; the common ones are those that most cells express, the most work per knockout.",
    ),
    Case(
        "rate",
        "Rate of the kernel, one core",
        [
            Contestant(f"kernel, {genes}", "contestants.scan:kernel", {"cells": choice})
            for choice, genes in _CHOICES.items()
        ],
        [
            claim
            for genes in _CHOICES.values()
            for claim in (
                number(
                    f"{genes}: gene updates per second in the loops over knockouts",
                    f"kernel, {genes}",
                    "G updates per s in loops",
                    "G updates per s in loops",
                    unit="G/s",
                    at_least=2.0,
                ),
                number(
                    f"{genes}: gene updates per second from the CSR matrix to the impacts",
                    f"kernel, {genes}",
                    "G updates per s",
                    "G updates per CPU-s",
                    unit="G/s",
                    at_least=2.0,
                ),
            )
        ],
        inputs=list(_CHOICES),
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
