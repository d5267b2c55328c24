"""The one way from an AnnData to knockouts of its cells."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

import dko
from dko._core.knockouts import open_model


def predicted(adata, sets, doses=(1.0,), groups=None, **how):
    """Each prediction by number of its set and dose: rows, before and after, impact; all blocks together."""
    found: dict[tuple[int, float], list[Any]] = {}
    for one in open_model(adata, "dko", "rna", groups, device="cpu").predict(sets, doses, **how):
        found.setdefault((one.number, one.dose), []).append(one)
    return {
        place: tuple(
            np.concatenate([np.asarray(getattr(one, name)) for one in parts])
            for name in ("rows", "before", "after", "impact")
        )
        for place, parts in found.items()
    }


@pytest.mark.parametrize(
    ("genes", "expected"),
    [
        ("gene_2", {"gene_2": ["gene_2"]}),
        (["gene_3", "gene_2"], {"gene_3": ["gene_3"], "gene_2": ["gene_2"]}),
        (("gene_3", "gene_2"), {"gene_2+gene_3": ["gene_2", "gene_3"]}),
        ("gene_3+gene_2", {"gene_2+gene_3": ["gene_2", "gene_3"]}),
        ([("gene_3", "gene_2"), "gene_4"], {"gene_2+gene_3": ["gene_2", "gene_3"], "gene_4": ["gene_4"]}),
        (["gene_2", "gene_2"], {"gene_2": ["gene_2"]}),
        ([["gene_4", "gene_2", "gene_4"]], {"gene_2+gene_4": ["gene_2", "gene_4"]}),
        (pd.Index(["gene_2", "gene_3"]), {"gene_2": ["gene_2"], "gene_3": ["gene_3"]}),
    ],
    ids=repr,
)
@pytest.mark.parametrize("which", ["fitted", "perturbations"])
def test_what_may_be_named(genes, expected, which, request):
    cells = open_model(request.getfixturevalue(which), "dko", "rna")
    assert cells.sets(genes) == expected


@pytest.mark.parametrize("mixture", [False, True])
@pytest.mark.parametrize("which", ["grouped", "perturbations"])
def test_a_prediction_of_a_cell_does_not_depend_on_what_else_is_asked(which, mixture, request):
    """Other knockouts, other doses, other cells, other blocks: differences are effects, and not chance."""
    adata, sets, doses = request.getfixturevalue(which), [["gene_3"], ["gene_2", "gene_4"]], (0.0, 0.4, 1.0)

    def dense(**how):
        cells = open_model(adata, "dko", "rna", how.pop("groups", None), device="cpu")
        found = {}
        for one in cells.predict(how.pop("sets", sets), how.pop("doses", doses), mixture=mixture, rng=3, **how):
            values = one.after.toarray() if hasattr(one.after, "toarray") else one.after
            for row, after, impact in zip(one.rows, values, one.impact, strict=True):
                found[one.number, one.dose, row] = np.append(after, impact)
        return found

    whole = dense()
    assert {dose for _, dose, _ in whole} == set(doses)
    for part in (dense(batch_size=9), dense(groups=np.arange(80) % 3 == 0), dense(sets=sets[:1]), dense(doses=(0.4,))):
        assert part.keys() <= whole.keys() and len(part) > 10
        for place, values in part.items():
            np.testing.assert_allclose(values, whole[place], atol=2e-5)


def test_no_dose_is_no_change_and_the_seed_decides_the_draw(perturbations):
    first, again, other = (predicted(perturbations, [["gene_3"]], (0.0, 1.0), rng=rng) for rng in (1, 1, 2))
    rows, before, after, impact = first[0, 0.0]
    np.testing.assert_array_equal(after, before)
    assert (impact == 0).all() and len(rows) == 50
    np.testing.assert_array_equal(first[0, 1.0][2], again[0, 1.0][2])
    assert not np.array_equal(first[0, 1.0][2], other[0, 1.0][2])


@pytest.mark.parametrize("n_sets", [2, 18])
def test_sums_of_effects_are_those_of_predicted_cells(perturbations, n_sets):
    """More sets than are decoded at a time, and in groups."""
    genes, group = list(perturbations.var_names[:n_sets]), np.arange(80) % 3 - 1
    cells = open_model(perturbations, "dko", "rna", device="cpu")
    sums, n_cells = cells.effect_sums([[gene] for gene in genes], group, 2, rng=2)
    found = predicted(perturbations, [[gene] for gene in genes], rng=2)
    for number in range(n_sets):
        rows, before, after, _ = found[number, 1.0]
        for one in range(2):
            there = group[rows] == one
            np.testing.assert_allclose(sums[one, number], (after - before)[there].sum(axis=0), atol=1e-3)
            assert n_cells[one, number] == there.sum()
    with dko.settings.override(memory_budget=1):
        few, _ = cells.effect_sums([genes[:1]], group, 2, rng=2)
    np.testing.assert_allclose(few[:, 0], sums[:, 0], atol=1e-3)


def test_a_transcript_changes_as_that_of_training_targets(perturbations):
    """Every knockdown lowers its own transcript, in proportion to the dose."""
    cells = open_model(perturbations, "dko", "rna", device="cpu")
    column, ensemble = list(cells.model.genes).index("gene_3"), cast("Any", cells.model).ensemble
    own = ensemble.own[cells.model.targets.index("gene_3")] / float(ensemble.level[column])
    for (_, dose), (_, before, after, _) in predicted(perturbations, [["gene_3"]], (0.25, 1.0)).items():
        expected = max(dose * own, -1) * before[:, column]
        np.testing.assert_allclose((after - before)[:, column], expected, atol=1e-5)
