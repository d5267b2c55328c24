from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

import dko
from dko.models import REGISTRY
from dko.models.dko import reference as naive
from dko.models.dko.model import DkoModel


def weights(adata, key="dko"):
    return adata.uns[key]["weights"]["influence"]


def test_what_is_written(fitted):
    stored = fitted.uns["dko"]
    assert set(stored) == {"params", "genes", "groups", "weights", "history"}
    assert stored["genes"] == fitted.var_names.to_list()
    assert stored["groups"] == []
    assert {name: (array.shape, array.dtype) for name, array in stored["weights"].items()} == {
        "influence": ((1, 20, 20), np.float32),
        "intercept": ((1, 20), np.float32),
    }
    assert stored["history"].columns.tolist() == ["step", "epoch", "train_loss", "validation_loss"]
    assert all(type(value) in (str, int, float, bool) for value in stored["params"].values())
    assert fitted.obs["dko_split"].value_counts().to_dict() == {"train": 64, "validation": 16, "test": 0, "unused": 0}
    assert fitted.obs["dko_fit_error"].dtype == np.float32


def test_fit_error_is_that_of_the_formula(fitted, layers_of):
    counts = fitted.X.toarray()
    observed = counts / counts.sum(axis=1, keepdims=True)
    predicted = np.array([naive.profile(layers_of(fitted), row > 0) for row in counts])
    np.testing.assert_allclose(fitted.obs["dko_fit_error"], np.abs(observed - predicted).sum(1) / 2, atol=1e-5)
    validation = (fitted.obs["dko_split"] == "validation").to_numpy()
    best = fitted.uns["dko"]["history"]["validation_loss"].min()
    assert fitted.obs["dko_fit_error"][validation].mean() == pytest.approx(best, abs=1e-5)


def test_the_seed_decides_everything(cells, quick):
    def run(rng):
        return dko.tl.fit(cells, rng=rng, copy=True, **quick)

    first, other = run(1), run(2)
    for rng in (1, np.random.default_rng(1)):
        again = run(rng)
        np.testing.assert_array_equal(weights(again), weights(first))
        assert again.obs["dko_split"].equals(first.obs["dko_split"])
        assert again.uns["dko"]["history"].equals(first.uns["dko"]["history"])
    assert not np.array_equal(weights(other), weights(first))
    assert not other.obs["dko_split"].equals(first.obs["dko_split"])
    assert run(None).uns["dko"]["params"].get("rng") is None


def test_test_cells_do_not_train(cells, quick):
    dko.tl.fit(cells, test_fraction=0.25, **quick)
    test = (cells.obs["dko_split"] == "test").to_numpy()
    assert test.sum() == 20
    changed = cells.copy()
    counts = changed.X.toarray()
    counts[test] = counts[test][:, ::-1]
    changed.X = counts
    dko.tl.fit(changed, test_fraction=0.25, **quick)
    np.testing.assert_array_equal(weights(changed), weights(cells))
    assert not np.array_equal(changed.obs["dko_fit_error"][test], cells.obs["dko_fit_error"][test])


def test_one_model_per_group_is_the_model_of_that_group(cells, quick):
    """Each group on its own gives what it gives together with others, up to the random numbers it is given."""
    dko.tl.fit(cells, groupby="cell_type", **quick)
    assert cells.uns["dko"]["groups"] == ["B", "CD4/CD8 T"]
    assert weights(cells).shape == (2, 20, 20)
    assert not np.array_equal(*weights(cells))
    history = dko.get.history(cells)
    assert history["group"].cat.categories.tolist() == ["B", "CD4/CD8 T"]
    for group, best in history.groupby("group", observed=True)["validation_loss"].min().items():
        chosen = (cells.obs["cell_type"] == group) & (cells.obs["dko_split"] == "validation")
        assert chosen.sum() == 8
        assert cells.obs.loc[chosen, "dko_fit_error"].mean() == pytest.approx(best, abs=1e-5)


def test_a_group_trains_alone(cells, quick):
    """What the cells of one group express has no say in the model of another."""
    dko.tl.fit(cells, groupby="cell_type", **quick)
    changed = cells.copy()
    rows = (changed.obs["cell_type"] == "B").to_numpy()
    counts = changed.X.toarray()
    counts[rows] = counts[rows][:, ::-1]
    changed.X = counts
    dko.tl.fit(changed, groupby="cell_type", **quick)
    assert not np.array_equal(weights(changed)[0], weights(cells)[0])
    np.testing.assert_array_equal(weights(changed)[1], weights(cells)[1])


def test_small_groups_and_cells_without_a_group_get_no_model(cells, quick, caplog):
    cells.obs["kind"] = pd.Categorical(["many"] * 70 + ["few"] * 4 + [None] * 6)
    dko.tl.fit(cells, groupby="kind", **quick)
    assert cells.uns["dko"]["groups"] == ["many"]
    assert (cells.obs["dko_split"] == "unused").tolist() == [False] * 70 + [True] * 10
    assert cells.obs["dko_fit_error"].isna().tolist() == [False] * 70 + [True] * 10
    assert "Groups of fewer than 5 cells get no model: 'few'." in caplog.text


def test_only_unperturbed_cells_train(cells, quick):
    cells.obs["guide"] = np.where(np.arange(80) < 60, "control", "KO")
    dko.tl.fit(cells, perturbation_key="guide", control="control", **quick)
    assert (cells.obs["dko_split"] == "unused").tolist() == [False] * 60 + [True] * 20
    assert cells.obs["dko_fit_error"].notna().all()
    changed = cells.copy()
    counts = changed.X.toarray()
    counts[60:] = 0
    counts[60:, 0] = 1
    changed.X = counts
    dko.tl.fit(changed, perturbation_key="guide", control="control", **quick)
    np.testing.assert_array_equal(weights(changed), weights(cells))


def test_empty_cells_that_do_not_train_are_left_empty(cells, quick):
    cells.obs["guide"] = np.where(np.arange(80) < 60, "control", "KO")
    counts = cells.X.toarray()
    counts[70] = 0
    cells.X = counts
    dko.tl.fit(cells, perturbation_key="guide", control="control", **quick)
    assert cells.obs["dko_fit_error"].isna().to_numpy().nonzero()[0].tolist() == [70]
    dko.tl.virtual_ko(cells, ["gene_2", ("gene_3", "gene_4")])
    dko.tl.scan(cells)
    dko.tl.double_ko(cells, [("gene_3", "gene_4")])
    assert dko.get.impact(cells).iloc[70].isna().all()
    assert cells.layers["dko_ko_gene_2"][70].nnz == cells.layers["dko_impact"][70].nnz == 0
    assert np.isfinite(dko.get.effects(cells).X).all()
    assert dko.get.profiles(cells).X[70].nnz == 0


def test_starting_from_another_fit(fitted, tmp_path):
    step: dict[str, Any] = {"max_steps": 1, "learning_rate": 1e-9, "progress": False}
    dko.tl.fit(fitted, init_from="dko", key_added="again", **step)
    np.testing.assert_allclose(weights(fitted, "again"), weights(fitted), atol=1e-7)
    dko.io.save(fitted, tmp_path / "model.npz")
    dko.tl.fit(fitted, init_from=tmp_path / "model.npz", key_added="file", **step)
    np.testing.assert_allclose(weights(fitted, "file"), weights(fitted), atol=1e-7)
    part = list(fitted.var_names[[9, 3, *range(10, 20)]])
    dko.tl.fit(fitted, init_from="dko", genes=part, key_added="part", **step)
    columns = fitted.var_names.get_indexer(fitted.uns["part"]["genes"])
    np.testing.assert_allclose(weights(fitted, "part")[0], weights(fitted)[0][np.ix_(columns, columns)], atol=1e-7)


@pytest.mark.parametrize(
    ("there", "here", "remedy"),
    [(None, 4, "holds a full map; leave out rank=..."), (4, None, "a map of rank 4; fit with rank=4")],
)
def test_a_start_of_another_rank(cells, there, here, remedy):
    dko.tl.fit(cells, rank=there, max_steps=2, progress=False)
    with pytest.raises(ValueError, match=f"init_from=... .*{remedy}"):
        dko.tl.fit(cells, rank=here, init_from="dko", key_added="new")


def test_a_start_that_is_not_there(cells, perturbations):
    with pytest.raises(FileNotFoundError, match="init_from='nowhere' is neither a key of adata.uns nor a file"):
        dko.tl.fit(cells, init_from="nowhere")
    with pytest.raises(ValueError, match="init_from='dko' holds a model of kind 'sccvae', and not 'dko'"):
        dko.tl.fit(perturbations, init_from="dko", key_added="new")


@pytest.fixture
def interrupt(monkeypatch):
    """Let a training step be interrupted, as by Ctrl-C, when it has been made so often."""
    backward, left = torch.Tensor.backward, [0]

    def counted(loss, *args, **kwargs):
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return backward(loss, *args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "backward", counted)
    return lambda after: left.__setitem__(0, after)


def test_interrupted_fit_keeps_what_it_has(cells, interrupt, caplog):
    interrupt(75)
    dko.tl.fit(cells, max_steps=1000, batch_size=64, progress=False)
    assert dko.get.history(cells)["step"].max() < 1000
    assert "stopped by the user" in caplog.text
    dko.tl.virtual_ko(cells, "gene_2")


def test_interrupt_before_anything_is_learned_leaves_all_as_it_was(cells, interrupt, unchanged):
    interrupt(2)
    threads = torch.get_num_threads()
    with unchanged(cells), pytest.raises(KeyboardInterrupt):
        dko.tl.fit(cells, max_steps=1000, progress=False)
    assert torch.get_num_threads() == threads


def test_groups_that_were_not_reached_get_no_model(cells, interrupt, caplog):
    interrupt(15)
    dko.tl.fit(cells, groupby="cell_type", max_steps=1000, progress=False)
    assert cells.uns["dko"]["groups"] == ["B"]
    assert "'CD4/CD8 T'" in caplog.text
    late = cells.obs["cell_type"] == "CD4/CD8 T"
    assert (cells.obs["dko_split"][late] == "unused").all() and cells.obs["dko_fit_error"][late].isna().all()


def test_a_new_fit_takes_away_what_the_old_one_predicted(fitted, quick):
    dko.tl.scan(fitted)
    dko.tl.virtual_ko(fitted, [fitted.var_names[0], fitted.var_names[3]])
    dko.tl.double_ko(fitted, n_samples=5)
    fresh = [list(fitted.layers), list(fitted.obsm), list(fitted.var)]
    dko.tl.fit(fitted, **quick)
    assert fresh != [list(fitted.layers), list(fitted.obsm), list(fitted.var)]
    assert not [name for name in [*fitted.layers, *fitted.obsm, *fitted.var] if name and name.startswith("dko")]
    assert set(fitted.uns["dko"]) == {"params", "genes", "groups", "weights", "history"}


def test_test_and_perturbed_cells_have_no_say_in_the_genes(cells, quick):
    cells.obs["guide"] = np.where(np.arange(80) < 40, "control", "KO")
    chosen = {}
    for name in ("as it is", "changed"):
        if name == "changed":
            x = cells.X.toarray()
            x[40:, ::2] = 100
            cells.X = sparse.csr_matrix(x)
        dko.tl.fit(cells, perturbation_key="guide", control="control", n_top_genes=8, **quick)
        chosen[name] = cells.uns["dko"]["genes"]
    assert chosen["as it is"] == chosen["changed"]
    x[:40, 5] = 0
    cells.X = sparse.csr_matrix(x)
    dko.tl.fit(cells, perturbation_key="guide", control="control", genes=list(cells.var_names[4:8]), **quick)
    assert not cells.uns["dko"]["weights"]["influence"][0][:, 1].any(), "gene_5 is only in perturbed cells"


def test_a_gene_that_no_training_cell_expresses_has_no_influence(cells, quick):
    x = cells.X.toarray()
    dko.tl.fit(cells, **quick)
    train = (cells.obs["dko_split"] == "train").to_numpy()
    x[train, 6] = 0
    x[~train, 6] = 5
    cells.X = sparse.csr_matrix(x)
    dko.tl.fit(cells, **quick)
    assert not cells.uns["dko"]["weights"]["influence"][0][:, 6].any()
    assert dko.get.profiles(cells)[:, "gene_6"].layers["predicted"].max() < 1e-3


def test_cells_without_any_of_the_genes_are_left_out(cells, quick, capsys):
    few = list(cells.var_names[3:5])
    empty = np.asarray((cells[:, few].X > 0).sum(axis=1)).ravel() == 0
    assert empty.any()
    dko.tl.fit(cells, genes=few, **quick)
    assert f"{empty.sum()} of 80 cells express none of the 2 genes and are left out" in capsys.readouterr().err
    np.testing.assert_array_equal(cells.obs["dko_split"] == "unused", empty)
    np.testing.assert_array_equal(cells.obs["dko_fit_error"].isna(), empty)


def test_a_raw_that_has_lost_genes_is_refused(cells, quick):
    cells.raw = cells.copy()
    dko.tl.fit(cells, use_raw=True, **quick)
    cells.raw = cells[:, :10].copy()
    with pytest.raises(KeyError, match="adata.raw lacks 10 of the 20 genes of the fit"):
        dko.tl.scan(cells)


def test_a_group_in_which_nobody_expresses_the_genes_gets_no_model(cells, quick, caplog):
    x = cells.X.toarray()
    x[1::2, 3:6] = 0
    cells.X = sparse.csr_matrix(x)
    dko.tl.fit(cells, groupby="cell_type", genes=list(cells.var_names[3:6]), **quick)
    assert cells.uns["dko"]["groups"] == ["B"] and "'CD4/CD8 T'" in caplog.text
    assert (cells.obs["dko_split"][1::2] == "unused").all()


def test_what_is_written_of_a_map_of_low_rank(cells, quick):
    dko.tl.fit(cells, rank=3, **quick)
    stored = cells.uns["dko"]
    assert stored["params"]["rank"] == 3
    assert {name: (array.shape, array.dtype) for name, array in stored["weights"].items()} == {
        "outgoing": ((1, 20, 3), np.float32),
        "incoming": ((1, 3, 20), np.float32),
        "intercept": ((1, 20), np.float32),
    }
    validation = (cells.obs["dko_split"] == "validation").to_numpy()
    best = stored["history"]["validation_loss"].min()
    assert cells.obs["dko_fit_error"][validation].mean() == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize(
    ("rank", "message"),
    [
        (20, "rank=20 must be below the number of genes, 20; leave it out for the full map"),
        (0, "rank=0 must be a whole number above 0"),
        (2.5, "rank=2.5 must be a whole number or None"),
    ],
)
def test_ranks_that_cannot_be(rank, message, cells, quick, unchanged):
    with unchanged(cells), pytest.raises(ValueError, match=message):
        dko.tl.fit(cells, rank=rank, **quick)


def test_the_published_network_has_no_rank(cells, unchanged):
    with unchanged(cells), pytest.raises(ValueError, match="preset='paper' has layers as wide as there are genes"):
        dko.tl.fit(cells, preset="paper", rank=3, progress=False)


def test_options_of_a_model_of_ones_own(cells):
    @dataclass(frozen=True)
    class Options(dko.models.fitting.Config):
        size: float = 1.0

    class Mine(DkoModel):
        presets: ClassVar[Any] = {None: (Options(), DkoModel.presets[None][1])}

    with register_for_a_while("mine", Mine):
        with pytest.raises(TypeError, match=r"takes no siz=\.\.\.; did you mean size\?"):
            dko.tl.fit(cells, model="mine", siz=1)
        with pytest.raises(TypeError, match="size='x' must be a number"):
            dko.tl.fit(cells, model="mine", size="x")
        with pytest.raises(ValueError, match="No preset 'paper'; leave it out"):
            dko.tl.fit(cells, model="mine", preset="paper")
        with pytest.raises(TypeError, match="model='mine' takes no 'rank'; only model='dko' does"):
            dko.tl.fit(cells, model="mine", rank=2)


@contextmanager
def register_for_a_while(name, model):
    dko.models.register(name, model)
    try:
        yield
    finally:
        del REGISTRY[name]


def test_many_genes_have_all_hidden_units_where_half_of_them_explain_something(monkeypatch):
    monkeypatch.setattr("dko.models.dko.fit._HALF", 4)
    noisy = dko.datasets.grn(120, 20, density=0.3, depth=300, heterogeneity=0.5, rng=1)
    clean = dko.datasets.grn(300, 20, density=0.3, rng=1)
    ranks = {}
    for name, cells, effects in (("noisy", noisy, "auto"), ("clean", clean, "auto"), ("direct", noisy, "direct")):
        dko.tl.fit(cells, max_epochs=20, effects=effects, progress=False)
        ranks[name] = np.linalg.matrix_rank(weights(cells)[0].astype(float), tol=1e-5)
    assert ranks == {"noisy": 4, "clean": 8, "direct": 8}


def test_what_half_of_the_hidden_units_have_learned_is_kept_where_the_rest_is_stopped(monkeypatch, interrupt, caplog):
    monkeypatch.setattr("dko.models.dko.fit._HALF", 4)
    cells = dko.datasets.grn(300, 20, density=0.3, rng=1)
    interrupt(62)  # in the second of two fits of 60 steps
    dko.tl.fit(cells, max_steps=60, progress=False)
    assert "Stopped by the user: the model is the one of 4 hidden units" in caplog.text
    assert np.linalg.matrix_rank(weights(cells)[0].astype(float), tol=1e-5) == 4


def test_one_model_starts_all_groups_and_groups_start_groups(fitted, grouped):
    step: dict[str, Any] = {"max_steps": 1, "learning_rate": 1e-9, "progress": False, "groupby": "cell_type"}
    dko.tl.fit(fitted, init_from="dko", key_added="again", **step)
    np.testing.assert_allclose(weights(fitted, "again"), np.repeat(weights(fitted), 2, axis=0), atol=1e-7)
    dko.tl.fit(grouped, init_from="dko", key_added="again", **step)
    np.testing.assert_allclose(weights(grouped, "again"), weights(grouped), atol=1e-7)
    grouped.obs["other"] = np.where(np.arange(80) % 2, "B", "NK")
    with pytest.raises(KeyError, match="init_from=... has no model for 'NK'; it has 'B', 'CD4/CD8 T'"):
        dko.tl.fit(grouped, init_from="dko", key_added="new", **{**step, "groupby": "other"})
