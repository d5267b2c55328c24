"""Knockouts, and sums of fits, by the workers of a dask cluster: the same numbers as here, whatever happens to one."""

from __future__ import annotations

import errno
import os
import threading
import time
from typing import Any

import anndata as ad
import dask.array as da
import numpy as np
import pytest
from anndata.io import sparse_dataset

import dko
from dko._core import cluster
from dko._core.blocks import Block, Unread
from dko.io import _files
from dko.io._kept import Kept
from dko.models.dko import regression

from ..conftest import assert_same_adata

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.filterwarnings("ignore:Writing zarr v2:UserWarning")


@pytest.fixture(scope="module")
def workers():
    """Two processes with one thread each; one that dies is started again."""
    how = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": 50}
    with distributed.LocalCluster(**how) as made, distributed.Client(made, set_as_default=False) as client:
        yield client


@pytest.fixture
def client(workers):
    with workers.as_current():
        yield workers


@pytest.fixture
def sent(client, monkeypatch):
    """Blocks of cells that workers are sent, read or not."""
    submit = client.submit
    found: list[Any] = []

    def noted(function, *given, **how):
        found.extend(one for one in given if isinstance(one, Block | Unread | cluster._Here))
        return submit(function, *given, **how)

    monkeypatch.setattr(client, "submit", noted)
    return found


def here(call, adata, **how):
    """The same cells after a call without workers."""
    found = adata.copy()
    with dko.settings.override(client=False):
        call(found, **how)
    return found


@pytest.mark.parametrize("which", ["fitted", "grouped", "total"])
def test_a_scan_by_workers_is_the_same_bit_for_bit(which, request, sent):
    adata = request.getfixturevalue(which)
    expected = here(dko.tl.scan, adata, batch_size=9)
    dko.tl.scan(adata, batch_size=9)
    assert_same_adata(adata, expected)
    assert [type(one) for one in sent] == [Block] * 9


@pytest.mark.parametrize("which", ["grouped", "total", "perturbations"])
def test_named_knockouts_and_effects_by_workers_are_the_same(which, request, sent):
    adata, sets = request.getfixturevalue(which), ["gene_3", ("gene_2", "gene_4")]
    for how in ({"batch_size": 9, "rng": 3}, {"batch_size": 9, "mixture": True, "dose": 0.5}):
        expected = here(dko.tl.virtual_ko, adata, genes=sets, **how)
        dko.tl.virtual_ko(adata, sets, **how)
        assert_same_adata(adata, expected)
    with dko.settings.override(client=False):
        effects = dko.get.effects(adata, sets)
    n_sent = len(sent)
    np.testing.assert_allclose(dko.get.effects(adata, sets).X, effects.X, atol=1e-6)
    assert len(sent) > n_sent > 0


@pytest.mark.slow
def test_a_cluster_that_starts_its_first_worker_for_work(total, capsys):
    expected = here(dko.tl.scan, total)
    how = {"n_workers": 0, "threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": 50}
    with distributed.LocalCluster(**how) as made, distributed.Client(made):
        made.adapt(minimum=0, maximum=1, interval="100ms")
        dko.tl.scan(total)
    assert capsys.readouterr().err.count("Waiting for a worker") == 1
    assert_same_adata(total, expected)


FIT: dict[str, Any] = {"effects": "total", "max_steps": 20, "progress": False}


@pytest.fixture
def many():
    return dko.datasets.grn_types(n_cells=400, n_genes=40, n_types=2, rng=0)


@pytest.fixture
def any_size(monkeypatch):
    """Parts of few cells are sent as well, and to few workers."""
    monkeypatch.setattr(cluster, "FEWEST_THREADS", 1)
    monkeypatch.setattr(regression, "_WORTH", 3)


def assert_same_fit(found, expected):
    for name, array in expected.uns["dko"]["weights"].items():
        rtol = 2.0**-10 if array.dtype == np.float16 else 1e-5  # a half that is rounded the other way
        np.testing.assert_allclose(found.uns["dko"]["weights"][name], array, rtol=rtol, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(found.obs["dko_fit_error"], expected.obs["dko_fit_error"], rtol=1e-6)
    assert found.uns["dko"]["params"]["explained"] == pytest.approx(expected.uns["dko"]["params"]["explained"])


@pytest.mark.parametrize("where", ["memory", pytest.param("scratch file", marks=pytest.mark.slow)])
def test_the_sums_of_a_fit_by_workers_are_the_same(where, many, sent, any_size, monkeypatch):
    how = FIT
    if where == "scratch file":
        how = FIT | {"groupby": "cell_type"}
        monkeypatch.setattr("dko.models.dko.fit.MOST_PERMUTED", 120)
    with dko.settings.override(memory_budget=3 * many.X.nnz if where == "scratch file" else 2**28):
        expected = here(dko.tl.fit, many, **how)
        dko.tl.fit(many, **how)
    assert_same_fit(many, expected)
    of_cells = [one.things for one in sent if not isinstance(one.things, np.ndarray)]
    # Errors are of all cells, and total effects from three sums over those that train or validate.
    assert sum(values.shape[0] for values in of_cells) == 4 * many.n_obs
    assert len(of_cells) >= 16 and len(sent) - len(of_cells) >= 5


def test_a_fit_of_few_cells_is_not_shared(many, sent):
    expected = here(dko.tl.fit, many, **FIT)
    dko.tl.fit(many, **FIT)
    assert_same_adata(many, expected)
    assert not sent


@pytest.mark.slow
def test_a_fit_does_not_depend_on_the_number_of_workers_or_on_one_that_is_killed(many, tmp_path, client, any_size):
    def dying() -> None:
        import signal

        from dko.models.dko import regression

        products, computed = regression._products, []

        def counted(*given: Any) -> Any:
            computed.append(1)
            if len(computed) == 3 and not os.path.exists(marker):
                open(marker, "w").close()
                os.kill(os.getpid(), signal.SIGKILL)
            return products(*given)

        setattr(regression, "_products", counted)  # noqa: B010

    marker, again = str(tmp_path / "killed"), many.copy()
    client.run(dying)
    dko.tl.fit(many, **FIT)
    assert os.path.exists(marker)
    how = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": 50}
    with distributed.LocalCluster(**how) as made, distributed.Client(made):
        dko.tl.fit(again, **FIT)
    assert_same_fit(again, many)


def opened(kind, adata, path):
    """Cells whose values lie in a file."""
    if kind == "backed":
        adata.write_h5ad(path / "cells.h5ad")
        return ad.read_h5ad(path / "cells.h5ad", backed="r")
    adata.write_zarr(path / "cells.zarr")
    if kind == "dask":
        values = ad.experimental.read_lazy(path / "cells.zarr").X
    else:
        import zarr

        values = sparse_dataset(zarr.open_group(path / "cells.zarr", mode="r")["X"])
    return ad.AnnData(values, obs=adata.obs, var=adata.var, uns=adata.uns)


@pytest.mark.parametrize("kind", ["backed", "dask", "zarr"])
def test_workers_read_files_themselves(kind, total, tmp_path, sent):
    expected = here(dko.tl.scan, total, batch_size=20)
    dko.tl.scan(opened(kind, total, tmp_path), out=tmp_path / "out.h5ad", batch_size=20)
    assert [type(one) for one in sent] == [Unread] * 4
    found = ad.read_h5ad(tmp_path / "out.h5ad")
    np.testing.assert_array_equal(found.X.toarray(), expected.layers["dko_impact"].toarray())
    np.testing.assert_array_equal(found.layers["dko_downstream"].toarray(), expected.layers["dko_downstream"].toarray())
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("kind", ["backed", "zarr"])
def test_workers_read_files_themselves_for_a_model_of_logs(kind, perturbations, tmp_path, sent):
    how: dict[str, Any] = {"genes": "gene_3", "profiles": False, "rng": 3, "batch_size": 20}
    expected = here(dko.tl.virtual_ko, perturbations, **how)
    found = opened(kind, perturbations, tmp_path)
    dko.tl.virtual_ko(found, **how)
    assert [type(one) for one in sent] == [Unread] * 3, "50 control cells"
    np.testing.assert_array_equal(found.obsm["dko_impact"], expected.obsm["dko_impact"])


def test_dask_arrays_that_workers_hold_already(fitted, client, sent):
    expected = here(dko.tl.scan, fitted, batch_size=30)
    fitted.X = client.persist(da.from_array(fitted.X.toarray(), chunks=(20, 20)))
    dko.tl.scan(fitted, batch_size=30)
    np.testing.assert_array_equal(fitted.layers["dko_impact"].toarray(), expected.layers["dko_impact"].toarray())


def test_a_file_that_this_process_may_write_to_is_read_here(fitted, tmp_path, sent):
    fitted.write_h5ad(tmp_path / "cells.h5ad")
    adata = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r+")
    dko.tl.virtual_ko(adata, "gene_2", profiles=False, batch_size=20)
    adata.file.close()
    assert [type(one) for one in sent] == [Block] * 4
    np.testing.assert_array_equal(
        adata.obsm["dko_impact"], here(dko.tl.virtual_ko, fitted, genes="gene_2", batch_size=20).obsm["dko_impact"]
    )


def test_a_file_that_workers_cannot_see_is_named(fitted, tmp_path, client):
    backed = opened("backed", fitted, tmp_path)
    (tmp_path / "cells.h5ad").unlink()
    with pytest.raises(OSError, match=r"cannot read '.*cells.h5ad' .* where all workers see it, or read the cells"):
        dko.tl.virtual_ko(backed, "gene_2", profiles=False)


def test_a_value_that_is_no_expression_is_named_as_without_workers(fitted, tmp_path, client):
    fitted.X.data[-1] = -1
    backed = opened("backed", fitted, tmp_path)
    messages = []
    for use in (None, False):
        with dko.settings.override(client=use), pytest.raises(ValueError, match="a negative value") as caught:
            dko.tl.virtual_ko(backed, "gene_2", profiles=False, batch_size=20)
        messages.append(str(caught.value))
    assert messages[0] == messages[1] and repr(fitted.obs_names[-1]) in messages[0]


def dying(marker, number):
    """A scan that ends its process, as kill -9 does, at the block with this number, once."""

    def patch() -> None:
        import signal

        from dko.models.dko.model import DkoModel

        computed, scan = [], DkoModel.scan

        def counted(*given: Any, **how: Any) -> Any:
            computed.append(1)
            if len(computed) == number and not os.path.exists(marker):
                open(marker, "w").close()
                os.kill(os.getpid(), signal.SIGKILL)
            return scan(*given, **how)

        setattr(DkoModel, "scan", counted)  # noqa: B010 (a method, which types do not let change)

    return patch


@pytest.mark.parametrize("where", ["memory", pytest.param("file", marks=pytest.mark.slow)])
def test_a_worker_that_is_killed_loses_nothing(where, total, tmp_path, client):
    expected = here(dko.tl.scan, total, batch_size=4)
    adata = total if where == "memory" else opened("backed", total, tmp_path)
    out = None if where == "memory" else tmp_path / "out.h5ad"
    client.run(dying(str(tmp_path / "killed"), 3))
    dko.tl.scan(adata, out=out, batch_size=4)
    assert (tmp_path / "killed").exists()
    found = adata.layers["dko_impact"] if out is None else ad.read_h5ad(out).X
    np.testing.assert_array_equal(found.toarray(), expected.layers["dko_impact"].toarray())


def test_a_worker_goes_while_it_is_sent_the_model(total, client):
    expected, scheduler = here(dko.tl.scan, total, batch_size=9), client.cluster.scheduler
    gather = scheduler.gather_on_worker
    gone: list[str] = []
    client.wait_for_workers(2)  # one may have been killed just now

    async def late(address, who_has):
        if not gone:
            gone.append(address)
            await scheduler.remove_worker(address, stimulus_id="gone")
        return await gather(address, who_has)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scheduler, "gather_on_worker", late)
        dko.tl.scan(total, batch_size=9)
    assert gone
    assert_same_adata(total, expected)


@pytest.mark.slow
def test_the_only_worker_is_killed(total, tmp_path):
    expected = here(dko.tl.scan, total, batch_size=4)
    how = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": 50}
    with distributed.LocalCluster(**how) as made, distributed.Client(made) as client:
        client.run(dying(str(tmp_path / "killed"), 3))
        dko.tl.scan(total, batch_size=4)
    assert (tmp_path / "killed").exists()
    assert_same_adata(total, expected)


def test_the_user_stops_it_and_workers_leave_the_rest(total, tmp_path, client, monkeypatch, capsys):
    expected, take = here(dko.tl.scan, total, batch_size=4), Kept.take

    def stopped(self, *given):
        take(self, *given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Kept, "take", stopped)
        dko.tl.scan(total, out=tmp_path / "out.h5ad", batch_size=4)
    assert "The same call goes on from here" in capsys.readouterr().err
    assert "pending" not in {future.status for future in client.futures.values()}
    dko.tl.scan(total, out=tmp_path / "out.h5ad", batch_size=4)
    assert "blocks of cells that are done" in capsys.readouterr().err
    found = ad.read_h5ad(tmp_path / "out.h5ad").X.toarray()
    np.testing.assert_array_equal(found, expected.layers["dko_impact"].toarray())


def test_the_disk_is_full_and_workers_leave_the_rest(total, tmp_path, client, monkeypatch):
    n_written, of_others = [], set(client.futures)

    class Full(_files.Disk):
        def check(self):
            n_written.append(1)
            if len(n_written) > 2:
                raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_files, "Disk", Full)
    with pytest.raises(OSError, match="No space left") as caught:
        dko.tl.scan(total, out=tmp_path / "out.h5ad", batch_size=1)
    assert caught.traceback  # which holds all that the call has made
    deadline = time.monotonic() + 30
    # The scheduler is told, and tells us, a moment later.
    while left := {future.status for name, future in client.futures.items() if name not in of_others} & {
        "pending",
        "finished",
    }:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
    assert not list(tmp_path.iterdir())


class Number:
    """A block of one number."""

    def __init__(self, number: int):
        self.number = number

    def read(self):
        return self


def threads_of(block, advance):
    import torch

    from dko.models._parallel import n_threads

    advance(block.number)
    advance(1)
    yield block.number, n_threads(), torch.get_num_threads(), threading.get_ident()
    yield block.number


def test_each_task_has_one_thread_and_all_that_is_found_comes_in_order(process_unchanged):
    how = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "dashboard_address": ":0"}
    done: list[int] = []
    with distributed.LocalCluster(**how) as made, distributed.Client(made):
        found = list(cluster.in_blocks(threads_of, ((Number(number),) for number in range(20)), done.append))
        assert cluster.share_of(10_000, 100) == 1_250 and cluster.share_of(10, 100) == 256
        assert cluster.share_of(10_000_000, 2**25) == 1
    assert [one[0] for one in found[::2]] == found[1::2] == list(range(20))
    assert {one[1:3] for one in found[::2]} == {(1, 1)}
    assert threading.get_ident() not in {one[3] for one in found[::2]}
    assert done == [number + 1 for number in range(20)]


def test_which_client_is_used(client):
    # A function that a worker runs does not wait for other workers.
    assert client.submit(lambda: cluster.active_client() is None).result()
    assert cluster.active_client() is client
    with dko.settings.override(client=False):
        assert cluster.active_client() is None


def test_without_a_client_there_is_none_and_one_that_is_closed_is_refused(workers, fitted):
    assert cluster.active_client() is None
    with distributed.Client(workers.scheduler.address, set_as_default=False) as other:
        with dko.settings.override(client=other):
            assert cluster.active_client() is other
    with dko.settings.override(client=other), pytest.raises(ValueError, match="not connected any more"):
        dko.tl.scan(fitted)
