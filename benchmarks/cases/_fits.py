"""Cases of fits, and of fits together with knockouts."""

from __future__ import annotations

from .._case import Case, Claim, Contestant, Round, number, seconds, times_faster

_LOOP, _BATCHED = "reference's loop, cell by cell", "the same loop, batched"
_TARGETS = {
    "final": (_LOOP, "final loss"),
    "best": (_LOOP, "best loss"),
    "validation": (_LOOP, "validation"),
}
_DEFAULT, _PAPER = "dko.tl.fit", 'dko.tl.fit, preset="paper"'

_MODELS = ("dko", "sccvae")
_ON = {(model, n): f'model="{model}", devices={n}' for model in _MODELS for n in (1, 2)}


def _apart(model: str) -> Claim:
    """Claim how far the losses of one and of two devices are apart, as a share of the loss."""

    def value(outcomes: Round) -> float:
        one, two = (outcomes[_ON[model, n]]["loss"] for n in (1, 2))
        return abs(two - one) / one

    return Claim(f"difference of the two, {model}, share of the loss", value, at_most=1e-3)


CASES = [
    Case(
        "fit",
        "Time to the reference's validation loss, 100 genes x 500 cells, one core",
        [
            *(
                Contestant(
                    name,
                    "contestants.fit:loop",
                    {"losses": losses, "n_steps": 5_000},
                    {"n_steps": 20},
                    seeded=True,
                )
                for name, losses in ((_LOOP, "cell_by_cell"), (_BATCHED, "batched"))
            ),
            *(
                Contestant(name, "contestants.fit:ours", {"preset": preset}, given=_TARGETS, seeded=True)
                for name, preset in ((_DEFAULT, None), (_PAPER, "paper"))
            ),
        ],
        [
            times_faster(
                "the loop's 5,000 steps over our time to its final loss", _DEFAULT, _LOOP, what="final ", at_least=100
            ),
            times_faster(
                "the loop's own time to its final loss over ours", _DEFAULT, _LOOP, what="final ", what_other="final "
            ),
            times_faster(
                "the loop's own time to its best loss over ours", _DEFAULT, _LOOP, what="best ", what_other="best "
            ),
            times_faster("the same steps, batched, over our time to the final loss", _DEFAULT, _BATCHED, what="final "),
            times_faster("the loop's 5,000 steps over a whole default fit", _DEFAULT, _LOOP),
            times_faster('the loop\'s 5,000 steps over the same with preset="paper"', _PAPER, _LOOP),
            number("validation loss of the loop, final", _LOOP, "final loss"),
            number("validation loss of the loop, best", _LOOP, "best loss"),
            number("validation loss of a default fit", _DEFAULT, "loss"),
            number('validation loss with preset="paper"', _PAPER, "loss"),
        ],
        inputs=["reference"],
        repeats=3,
        note="Each round has a split and a seed of its own, the same for all. The loop trains as published: Adam with "
        "step size 0.01, 20 cells per step, validation after every step; the reference passes each cell through the "
        "network by itself, and the batched loop all of a step at once. Our time to a loss is that of a whole "
        "`dko.tl.fit` with `max_steps` set, in hindsight, to what reaches it. Losses are the mean Bray-Curtis "
        "dissimilarity of the same validation cells.",
    ),
    Case(
        "fit_pbmc",
        "Default fit of PBMC 3k, 2,000 variable genes",
        [Contestant("dko.tl.fit", "contestants.fit:pbmc", threads=None)],
        [seconds("time of a default fit", "dko.tl.fit", at_most=30), number("validation loss", "dko.tl.fit", "loss")],
        inputs=["pbmc"],
        repeats=3,
    ),
    Case(
        "fit_screen",
        "Default fit of an SCCVAE: 100 knockouts x 200 cells and 2,000 control cells x 5,000 genes, one core",
        [Contestant('dko.tl.fit, model="sccvae"', "contestants.fit:screen", quick={"max_steps": 20})],
        [
            seconds("time of a default fit", 'dko.tl.fit, model="sccvae"', at_most=900),
            number("peak memory", 'dko.tl.fit, model="sccvae"', "peak", unit="MB", at_most=2_000),
        ],
        inputs=["screen"],
        repeats=1,
        note="Simulated counts with 2,100 genes in a cell; the peak is that of the process, with cells and imports.",
    ),
    Case(
        "fit_devices",
        "The first 100 steps of a fit, shared by two processes: PBMC 3k x 2,000 genes, and a screen x 5,000 genes",
        [
            Contestant(
                name,
                "contestants.fit:shared",
                {"model": model, "devices": n},
                {"model": model, "devices": n, "max_steps": 20},
                seeded=True,
            )
            for (model, n), name in _ON.items()
        ],
        [
            *(number(f"validation loss, {name}", name, "loss") for name in _ON.values()),
            *map(_apart, _MODELS),
            *(seconds(f"time, {name}", name) for name in _ON.values()),
        ],
        inputs=["variable", "screen"],
        repeats=3,
        note="Each round has a seed of its own, the same for both: the range in brackets is that of seeds. One thread "
        "for each process. The time of two devices includes the start of two processes.",
    ),
    Case(
        "peers",
        "500 simulated cells x 1,000 genes: a fit and all knockouts, against one knockout by others, one core",
        [
            Contestant("dko", "contestants.peers:ours"),
            Contestant("scTenifoldKnk", "contestants.peers:sctenifold", environment="sctenifold"),
            Contestant("GenKI", "contestants.peers:genki", environment="genki"),
        ],
        [
            times_faster("all knockouts by dko, faster than one by scTenifoldKnk", "dko", "scTenifoldKnk", at_least=1),
            times_faster("all knockouts by dko, faster than one by GenKI", "dko", "GenKI", at_least=7),
            times_faster(
                "the same, whole processes, imports included: scTenifoldKnk",
                "dko",
                "scTenifoldKnk",
                what="process ",
                what_other="process ",
            ),
            times_faster(
                "the same, whole processes, imports included: GenKI",
                "dko",
                "GenKI",
                what="process ",
                what_other="process ",
            ),
            times_faster("faster than scTenifoldKnk, per knockout", "dko", "scTenifoldKnk", each=True),
            times_faster("faster than GenKI, per knockout", "dko", "GenKI", each=True),
        ],
        inputs=["peers"],
        note="scTenifoldKnk is sctenifoldpy 0.5.1, GenKI is genki 0.2.3, both with their defaults (GenKI on logs), "
        "each in an environment of its own. They return one list of genes for all cells, dko an impact for each cell: "
        "the times compare waiting, not results.",
    ),
]
