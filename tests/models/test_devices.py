"""Training on several devices: processes of this machine's CPU, started by the call or by a launcher."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from multiprocessing import active_children
from pathlib import Path
from threading import Thread
from time import sleep
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

import dko
from dko.models._training import loader, share_of
from dko.models.rows import StoredRows

from ..conftest import PERTURB_SEQ

# Batches, and perturbations of a batch, are odd: the processes have unequal shares of each.
FITS: dict[str, dict[str, Any]] = {
    "dko": {"max_steps": 60, "batch_size": 33, "effects": "direct", "progress": False},
    "sccvae": {**PERTURB_SEQ, "groups": 3, "max_steps": 40, "n_members": 1},
}
# A user's script: nothing says that it is the main one, which started processes would otherwise run again.
SCRIPT = """
import sys
import dko

print("begun")
adata = dko.datasets.grn(300, 30, rng=1)
dko.tl.fit(adata, device="cpu", devices=2, batch_size=33, effects="direct", rng=None, max_steps=int(sys.argv[1]))
history = dko.get.history(adata)
print(history["validation_loss"].min(), float(abs(adata.uns["dko"]["weights"]["influence"]).sum()))
"""


@pytest.fixture(scope="module")
def simulated():
    """A few hundred cells for each model."""
    screen = dko.datasets.perturb_seq(6, 40, n_cells=25, n_controls=60, n_modules=2, n_pairs=1, rng=1)
    return {"dko": dko.datasets.grn(300, 30, rng=1), "sccvae": screen}


@pytest.fixture
def script(tmp_path):
    """Start the script, with or without a launcher."""
    (tmp_path / "script.py").write_text(SCRIPT)
    path = os.pathsep.join([str(Path(dko.__file__).parents[1]), *sys.path])

    def start(n_steps, *launcher):
        command = [sys.executable, *launcher, str(tmp_path / "script.py"), str(n_steps)]
        how: Any = {"env": {**os.environ, "PYTHONPATH": path}, "text": True, "start_new_session": True}
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how)

    return start


@pytest.mark.parametrize("model", ["dko", pytest.param("sccvae", marks=pytest.mark.slow)])
def test_two_processes_fit_what_one_fits(model, simulated):
    adata = simulated[model].copy()
    for seed in range(3):
        dko.tl.fit(adata, rng=seed, device="cpu", key_added=f"seed_{seed}", **FITS[model])
    dko.tl.fit(adata, rng=0, device="cpu", devices=2, strategy="ddp", key_added="two", **FITS[model])
    two, one, *others = (dko.get.history(adata, key=key) for key in ("two", "seed_0", "seed_1", "seed_2"))
    np.testing.assert_allclose(two, one, rtol=1e-3)
    # Which says something, as seeds differ by more.
    best = [history["validation_loss"].min() for history in (one, *others)]
    assert np.ptp(best) > 0.05 * best[0]
    for name, array in adata.uns["seed_0"]["weights"].items():
        np.testing.assert_allclose(adata.uns["two"]["weights"][name], array, atol=1e-3 * np.abs(array).max())
    assert adata.uns["two"]["params"].keys() == adata.uns["seed_0"]["params"].keys()
    assert not active_children()


@pytest.mark.slow
@pytest.mark.parametrize("model", FITS)
def test_processes_share_cells_that_do_not_fit_into_memory(model, simulated, monkeypatch):
    adata, histories, sent = simulated[model].copy(), [], []
    send = StoredRows.__reduce__

    def noting(rows):
        sent.append(rows)
        return send(rows)

    monkeypatch.setattr(StoredRows, "__reduce__", noting)
    with dko.settings.override(memory_budget=3 * int((adata.X != 0).sum())):
        for n in (1, 2):
            dko.tl.fit(adata, device="cpu", devices=n, **FITS[model])
            histories.append(dko.get.history(adata))
    np.testing.assert_allclose(histories[0], histories[1], rtol=1e-3)
    assert sent


@pytest.mark.slow
def test_an_error_in_a_process_is_that_of_the_call(simulated, unchanged):
    adata = simulated["dko"].copy()
    with (
        unchanged(adata),
        pytest.raises(FloatingPointError, match=r"no longer a number after \d+ steps; try a smaller"),
    ):
        dko.tl.fit(adata, device="cpu", devices=2, learning_rate=1e30, progress=False)
    assert not active_children()


@pytest.mark.slow
def test_a_process_that_is_killed_is_named(simulated, unchanged):
    def kill():
        while len(processes := active_children()) < 2:
            sleep(0.01)
        processes[1].kill()

    adata, killer = simulated["dko"].copy(), Thread(target=kill)
    killer.start()
    with unchanged(adata), pytest.raises(RuntimeError, match=r"ended unexpectedly \(exit code -9, .*lack of memory"):
        dko.tl.fit(adata, device="cpu", devices=2, progress=False)
    killer.join()
    assert not active_children()


@pytest.mark.slow
@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["to the call", "to all processes, as a terminal does"])
def test_ctrl_c_keeps_the_best_weights(send, script):
    running = script(10**6)
    said = ""
    while "loss=" not in said:  # the bar, after a validation
        assert (more := running.stderr.read(1)), said
        said += more
    send(running.pid, signal.SIGINT)
    found, said = running.communicate(timeout=120)
    assert found.startswith("begun\n") and found.count("begun") == 1
    assert 0 < float(found.split()[1]) < 1
    assert said.count("stopped by the user after") == said.count("Fitted 1 model in") == 1
    assert "on 2 x cpu" in said and "Traceback" not in said


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher",
    [
        ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
        (str(Path(sys.executable).with_name("fabric")), "run", "--accelerator=cpu", "--devices=2"),
    ],
    ids=["torchrun", "fabric run"],
)
def test_processes_of_a_launcher_have_one_result_and_one_voice(launcher, script):
    # Without a seed: the first process draws for all.
    running = script(100, *launcher)
    found, said = running.communicate(timeout=300)
    first, second = (line for line in found.splitlines() if line != "begun")
    assert first == second
    assert said.count("Genes: all 30") == said.count("Fitted 1 model in") == 1, said


@pytest.mark.slow
def test_processes_end_with_the_one_that_started_them(script):
    running = script(10**6)
    while "loss=" not in (line := running.stderr.readline(200)):
        assert line
    running.kill()
    # They hold the other ends of the pipes.
    running.communicate(timeout=60)


@pytest.mark.parametrize("n_processes", [1, 2, 3, 7])
@pytest.mark.parametrize("n", [1, 5, 12])
def test_processes_share_every_batch(n, n_processes):
    matrix = sparse.csr_matrix(np.arange(1, n + 1, dtype=np.float32)[:, None])
    fabrics: Any = [SimpleNamespace(global_rank=rank, world_size=n_processes) for rank in range(n_processes)]
    whole, *loads = (loader(matrix, 4, torch.device("cpu"), share_of(one)) for one in (fabrics[0], *fabrics))
    batches = loader(matrix, 4, torch.device("cpu"))(None)
    for batch, *shares in zip(batches, *(load(None) for load in loads), strict=True):
        assert sorted(torch.cat(shares)[:, 0].tolist()) == batch[:, 0].tolist()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"devices": 0}, "devices=0 must be at least 1"),
        ({"devices": 1.5}, "devices=1.5 must be a whole number"),
        ({"devices": 2, "strategy": "fsdp"}, "strategy='fsdp': .* choose 'auto' or 'ddp'"),
        ({"devices": 2, "device": "meta"}, "device='meta' is one device"),
        ({"num_nodes": 2, "device": "cpu"}, "num_nodes=2 needs a process per device on every node, from torchrun"),
    ],
)
def test_what_cannot_be_is_refused(how, message, cells, unchanged):
    with unchanged(cells), pytest.raises(ValueError, match=message):
        dko.tl.fit(cells, **how)


def test_more_devices_than_a_step_has_perturbations_are_refused(simulated):
    with pytest.raises(ValueError, match=r"devices=4 .*share the groups=3 of cells of a step"):
        dko.tl.fit(simulated["sccvae"].copy(), devices=4, device="cpu", **FITS["sccvae"])


def test_other_numbers_of_processes_than_were_started_are_refused(cells, monkeypatch):
    for name, value in {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "3", "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="devices=2, num_nodes=1 are not the 3 processes that were started"):
        dko.tl.fit(cells, devices=2, device="cpu")


def test_a_model_that_trains_alone_takes_no_devices(cells, monkeypatch):
    monkeypatch.setattr(dko.models.model_class("dko"), "takes", ("groupby", "init_from"))
    with pytest.raises(TypeError, match="model='dko' takes no 'devices'"):
        dko.tl.fit(cells, devices=2)
