from __future__ import annotations

import math

import dask.array as da
import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

import dko
from dko._core.cells import Source
from dko._core.fitted import Fitted
from dko._core.scale import check_normalize, read_expression, read_log_values, take_log

COUNTS = np.array([[4, 0, 6], [0, 5, 0], [1, 1, 2]], dtype=np.float32)
NAMES = ["a", "b", "c"]


def cells(x, **layers):
    adata = AnnData(x, layers=layers)
    adata.var_names = NAMES
    return adata


def read_logs(adata, log1p=None, use_raw=False):
    found = read_expression(Source(adata, use_raw=use_raw), log1p, linear=False)
    return found.values, found.genes, found.scale


def fitted(genes=NAMES, **params):
    known = {"model": "sccvae", "use_raw": False} | params
    return Fitted(key="dko", params=known, genes=list(genes), groups=[], weights={})


def test_logarithms_are_left_as_they_are():
    values, names, scale = read_logs(cells(np.log1p(COUNTS)))
    assert (scale.kind, scale.base, names) == ("log1p", math.e, NAMES)
    assert values.format == "csr" and values.dtype == np.float32
    np.testing.assert_array_equal(values.toarray(), np.log1p(COUNTS))


def test_counts_need_leave(capsys):
    """T9: raw counts in X."""
    values, _, scale = read_logs(cells(COUNTS))
    with pytest.raises(ValueError, match="X holds counts, .*: pass normalize=True, or call sc.pp.normalize_total"):
        check_normalize(scale, False, Source(cells(COUNTS)))
    check_normalize(scale, True, Source(cells(COUNTS)))
    np.testing.assert_array_equal(values.toarray(), COUNTS)
    assert "Values of X: taken as counts, normalised to one total and logged." in capsys.readouterr().err


def test_leave_is_for_counts_only():
    scale = read_logs(cells(COUNTS / 3))[2]
    with pytest.raises(ValueError, match="X holds other values"):
        check_normalize(scale, True, Source(cells(COUNTS)))


def test_large_values_and_what_the_user_says():
    for x, log1p, expected in (
        (COUNTS * 7.3, None, "linear"),
        (COUNTS * 1.3, None, "linear"),
        (np.log1p(COUNTS * 1.3), None, "log1p"),
        (COUNTS * 1.3, False, "linear"),
        (COUNTS * 1.3, True, "log1p"),
    ):
        assert read_logs(cells(x), log1p)[2].kind == expected


def logged(values, kind, totals=(), target_sum=None):
    found = sparse.csr_matrix(np.asarray(values, dtype=np.float32))
    take_log(found, kind, np.asarray(totals, dtype=float), target_sum)
    return found.toarray()


def test_counts_are_divided_by_the_total_of_their_cell():
    found = logged(COUNTS, "counts", [10, 5, 4], 100.0)
    np.testing.assert_allclose(found, np.log1p([[40, 0, 60], [0, 100, 0], [25, 25, 50]]), rtol=1e-6)


def test_linear_values_are_logged_and_no_more():
    np.testing.assert_allclose(logged(COUNTS, "linear"), np.log1p(COUNTS), rtol=1e-6)
    np.testing.assert_array_equal(logged(COUNTS, "log1p"), COUNTS)


def test_a_cell_without_counts_stays_empty():
    np.testing.assert_array_equal(logged(np.zeros((1, 3)), "counts", [0], 100.0), np.zeros((1, 3)))


@pytest.mark.parametrize("kind", ["log1p", "linear", "counts"])
def test_other_cells_are_read_as_the_fit_has_read(kind):
    """Over the genes of the model, in its order; totals are of all genes, as in the fit."""
    x = {"log1p": np.log1p(COUNTS), "linear": COUNTS * 7.3, "counts": COUNTS}[kind]
    expected = {
        "log1p": x, "linear": np.log1p(x), "counts": np.log1p(50 * COUNTS / COUNTS.sum(axis=1, keepdims=True))
    }[kind]  # fmt: skip
    of = fitted(["c", "a"], values=kind, target_sum=50.0)
    for turned in (x, sparse.csc_matrix(x), da.from_array(x, chunks=(2, 2))):
        found = read_log_values(cells(turned), of)
        assert found.format == "csr" and found.dtype == np.float32
        np.testing.assert_allclose(found.toarray(), expected[:, [2, 0]], rtol=1e-6)
    if kind != "counts":
        one = cells(x)[1:2].copy()
        np.testing.assert_allclose(read_log_values(one, of).toarray(), expected[1:2, [2, 0]], rtol=1e-6)


def test_layers_and_raw():
    adata = cells(np.zeros((3, 3), dtype=np.float32), log=np.log1p(COUNTS))
    found = read_log_values(adata, fitted(values="log1p", layer="log"))
    np.testing.assert_array_equal(found.toarray(), np.log1p(COUNTS))
    adata.X = np.log1p(COUNTS)
    adata.raw = adata
    part = adata[:, ["c", "a"]].copy()
    values, names, scale = read_logs(part, use_raw=True)
    assert (names, scale.kind) == (["c", "a"], "log1p")
    np.testing.assert_array_equal(values.toarray(), np.log1p(COUNTS)[:, [NAMES.index(name) for name in names]])


@pytest.mark.parametrize(
    ("value", "message"), [(np.nan, "NaN or infinite"), (np.inf, "NaN or infinite"), (-1, "negative")]
)
def test_bad_values_are_refused(value, message):
    """T9."""
    x = np.log1p(COUNTS)
    x[1, 2] = value
    with pytest.raises(ValueError, match=f"Gene 'c' of cell '1' has a {message} value"):
        read_logs(cells(x))


@pytest.mark.parametrize("kind", ["log1p", "counts"])
def test_some_cells(kind):
    """Read block by block, in their order."""
    x = {"log1p": np.log1p(COUNTS), "counts": COUNTS}[kind]
    of = fitted(["c", "a"], values=kind, target_sum=50.0)
    whole = read_log_values(cells(x), of).toarray()
    for rows in ([0, 2], [1], [0, 1, 2]):
        with dko.settings.override(memory_budget=1):
            found = read_log_values(cells(x), of, np.array(rows))
        np.testing.assert_array_equal(found.toarray(), whole[rows])


def test_counts_where_the_fit_read_logarithms_are_refused():
    """What they would have been normalised to is not known."""
    with pytest.raises(ValueError, match="X holds counts now"):
        read_log_values(cells(COUNTS), fitted(values="log1p"))


@pytest.mark.parametrize("base", [None, math.e, 2.0, 10.0])
@pytest.mark.parametrize("kind", ["counts", "linear", "log1p"])
def test_values_are_put_on_the_scale_of_the_fit(kind, base):
    share = 50 * COUNTS / COUNTS.sum(axis=1, keepdims=True)
    of = fitted(["c", "a"], values=kind, target_sum=50.0, **({"log_base": math.e} if kind == "log1p" else {}))
    now = share if base is None else np.log1p(share) / np.log(base)
    found = read_log_values(cells(now.astype(np.float32)), of)
    np.testing.assert_allclose(found.toarray(), np.log1p(share)[:, [2, 0]], rtol=1e-5)


def test_totals_over_other_genes_are_told(caplog):
    of = fitted(["c", "a"], values="counts", target_sum=50.0, n_summed=3)
    read_log_values(cells(COUNTS), of)
    assert not caplog.text
    read_log_values(cells(COUNTS)[:, ["a", "c"]].copy(), of)
    assert "their sum over 3 genes, and here there are 2" in caplog.text
