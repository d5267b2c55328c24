"""Our numbers are those of cell-eval2, where it is installed: ``pip install --group check``."""

from __future__ import annotations

import numpy as np
import pytest

import dko

cell_eval = pytest.importorskip("cell_eval2", reason="cell-eval2 is not installed: pip install --group check")

N, N_GENES = 9, 60
LABELS = [f"gene_{number:02d}" for number in range(N)]
GENES = [f"gene_{number:02d}" for number in range(N_GENES)]


@pytest.fixture(scope="module")
def effects():
    """Predicted and measured effects, NaN at the own gene, and which genes change."""
    rng = np.random.default_rng(0)
    measured = rng.normal(size=(N, N_GENES))
    predicted = 0.6 * measured + rng.normal(size=(N, N_GENES))
    predicted[3] = 0  # says nothing of one knockout
    own = np.arange(N)
    measured[own, own] = predicted[own, own] = np.nan
    return predicted, measured, rng.random((N, N_GENES)) < np.linspace(0.1, 0.6, N)[:, None]


def tables(effects):
    """Write effects as tables of differential expression; called are as many genes as change."""
    import polars as pl

    predicted, measured, changed = effects
    found = []
    for values, is_predicted in ((predicted, True), (measured, False)):
        frames = []
        for row, label in enumerate(LABELS):
            known = np.isfinite(values[row])
            size, n_called = np.where(known, np.abs(values[row]), -1), int((changed[row] & known).sum())
            place = np.empty(N_GENES)
            place[np.argsort(-size, kind="stable")] = np.arange(N_GENES)
            called = (place < n_called) & (size > 0) if is_predicted else changed[row]
            p_values = np.where(called, 0.01, 0.5) + place * 1e-6
            columns = {"feature": GENES, "log2_fold_change": np.nan_to_num(values[row])}
            frames.append(
                pl.DataFrame({**columns, "p_value": p_values, "p_adj": p_values}).with_columns(target=pl.lit(label))
            )
        found.append(pl.concat(frames).with_columns(fold_change=2 ** pl.col("log2_fold_change")))
    return {"de_pred": found[0], "de_real": found[1]}


def test_directions_and_overlap(effects):
    from cell_eval2.metrics import de, direction

    found = tables(effects)
    theirs = {
        "direction_fidelity": direction.de_direction_fidelity_yield_raw(**found),
        "direction_reach": direction.de_direction_reach(corrected=False, **found),
        "jaccard": de.de_sig_jaccard(**found),
    }
    for row, (predicted, measured, changed) in enumerate(zip(*effects, strict=True)):
        for name in ("direction_fidelity", "direction_reach"):
            ours = getattr(dko.metrics, name)(predicted, measured, changed=changed)
            assert ours == pytest.approx(theirs[name][LABELS[row]]), (name, row)
        assert dko.metrics.jaccard(predicted, changed) == pytest.approx(theirs["jaccard"][LABELS[row]])


def test_retrieval_by_cosine_and_errors(effects):
    from cell_eval2.metrics.delta import mse
    from cell_eval2.metrics.discrimination import discrimination_score

    labels = np.array([*LABELS, "non-targeting"])
    bulks = [(labels, np.vstack([np.nan_to_num(values), np.zeros(N_GENES)])) for values in effects[:2]]
    theirs = discrimination_score(
        pred_bulk=bulks[0], real_bulk=bulks[1], genes=np.array(GENES), distance="cosine", rank_denominator="n-1"
    )
    np.testing.assert_allclose(dko.metrics.retrieval(*effects[:2], cosine=True), [theirs[label] for label in LABELS])
    errors = mse(pred_bulk=bulks[0], real_bulk=bulks[1])
    for label, predicted, measured in zip(LABELS, *effects[:2], strict=True):
        ours = dko.metrics.mse(np.nan_to_num(predicted), np.nan_to_num(measured))
        assert ours == pytest.approx(errors[label])
