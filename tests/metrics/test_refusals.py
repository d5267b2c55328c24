from __future__ import annotations

import numpy as np
import pytest

import dko

M = dko.metrics
EYE, ROWS, CELLS = np.eye(4), np.ones((2, 3)), np.zeros((4, 3))
BAD = [
    (M.bray_curtis, (ROWS, ROWS[:1]), {}, r"same shape, got \(2, 3\) and \(1, 3\)"),
    (M.energy_distance, (CELLS, np.zeros((1, 3))), {}, "Both sets need 2 cells or more, of the same components"),
    (M.mmd, (CELLS, np.zeros((4, 2))), {"bandwidth": 1.0}, "Both sets need 2 cells or more, of the same components"),
    (M.mmd, (EYE, EYE), {"bandwidth": 0.0}, r"bandwidth=0\.0 must be above 0"),
    (M.neighbour_agreement, (EYE, ["a", "b", "c"]), {}, r"groups needs one entry per vector \(4\), got 3"),
    (M.neighbour_agreement, (EYE, [*"abbb"]), {"n_permutations": 0}, "n_permutations=0 must be at least 1"),
    (M.supervised_effects, (EYE[:0], EYE[:0]), {"wanted": EYE}, "There have to be training perturbations"),
    (M.supervised_effects, (EYE, EYE[:3]), {"wanted": EYE}, "each with as many features"),
    (M.effect_size, (ROWS, ROWS), {"n_cells": 0}, "n_cells=0 must be at least 1"),
    (M.effect, (ROWS, ROWS[:, :2]), {}, r"Both sides need cells, of the same genes; got \(2, 3\)"),
    (M.ceiling, (ROWS, ROWS[:0]), {}, r"Both sides need cells, of the same genes; got \(2, 3\)"),
    (M.changed_genes, (ROWS, ROWS[:0]), {}, r"Both sides need cells, of the same genes; got \(2, 3\)"),
    (M.pair_interaction, (ROWS,), {"first": ROWS, "second": ROWS[:1]}, r"one shape .* got \(2, 3\)"),
    (M.correlation, (EYE[0], EYE[0]), {"method": "kendall"}, "one of 'pearson', 'spearman'"),
    (M.oracle_strength, (EYE[:3], EYE[0]), {"strengths": [0, 1]}, "Every strength needs an effect; got 2 strengths"),
    (M.gene_mean, (ROWS, ROWS), {"groups": ["a", "b"]}, "training_groups and groups belong together"),
]


@pytest.mark.parametrize(("metric", "given", "how", "says"), BAD)
def test_bad_input_is_one_sentence(metric, given, how, says):
    with pytest.raises(ValueError, match=says):
        metric(*given, **how)
