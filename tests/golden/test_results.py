"""Stored results of every verb on three data sets, so that a change of the code cannot change a number unseen.

Each story runs verbs one after the other and notes, after each step, whatever is new or different: a line per array or
column with its type, shape, sum, norm, projection on fixed random numbers and a few entries. The lines lie beside this
file, a table per story; where a change is meant, ``DKO_GOLDEN=write`` rewrites them, and the difference in version
control shows what changed. Rounding differs between processors and versions of libraries, and clusters depend on
it: where ``machine.txt`` names others than those at hand, or another rounding, only what is written is compared, not
the numbers.
"""

from __future__ import annotations

import csv
import io
import os
import re
import warnings
import zlib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

import dko

HERE = Path(__file__).parent
COLUMNS = ["step", "place", "kind", "shape", "sum", "norm", "projection", "entries"]
N_ENTRIES = {"number": 6, "text": 3}
# A frame of more columns than this is noted as one array.
WIDEST = 25
# Maps by UMAP differ from machine to machine, and versions of the package from release to release.
VARYING = r"impact_umap$|params/version$"
# Relative to the size of an array: where a network was trained, rounding errors grow from step to step.
TRAINED, CLOSED = 1e-5, 1e-6
QUIET: dict[str, Any] = {"progress": False}

Line = tuple[str, ...]


def noted(place: str, value: Any, lines: dict[str, Line]) -> None:
    """Add the lines of a value of any kind."""
    if isinstance(value, AnnData):
        note_adata(place, value, lines)
    elif isinstance(value, dict):
        for name in value:
            noted(f"{place}/{name}", value[name], lines)
    elif isinstance(value, pd.DataFrame):
        note_frame(place, value, lines)
    elif sparse.issparse(value):
        matrix = value.tocsr().sorted_indices()
        lines[place] = array_line(matrix.data, f"{matrix.format} {matrix.dtype}", matrix.shape)
        lines[f"{place} (pattern)"] = array_line(np.concatenate([matrix.indptr, matrix.indices]))
    else:
        lines[place] = array_line(np.asarray("None" if value is None else value))
    if re.search(VARYING, place):
        kind, shape, *_ = lines[place]
        lines[place] = (kind, shape, "", "", "", "varies")


def note_adata(place: str, adata: AnnData, lines: dict[str, Line]) -> None:
    for name in ("X", "obs", "var"):
        if getattr(adata, name) is not None:
            noted(f"{place}{name}", getattr(adata, name), lines)
    for name in ("layers", "obsm", "varm", "obsp", "varp", "uns"):
        for key, value in getattr(adata, name).items():
            if key is not None:
                noted(f"{place}{name}/{key}", value, lines)


def note_frame(place: str, frame: pd.DataFrame, lines: dict[str, Line]) -> None:
    if not isinstance(frame.index, pd.RangeIndex):
        lines[f"{place}[index]"] = array_line(np.array([str(name) for name in frame.index]))
    if frame.shape[1] > WIDEST:
        lines[f"{place}[columns]"] = array_line(np.array([str(name) for name in frame.columns]))
        noted(f"{place}[values]", frame.to_numpy(), lines)
        return
    for name, column in frame.items():
        is_text = not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column))
        values = (
            column.astype(object).where(column.notna(), "nan").astype(str).to_numpy() if is_text else column.to_numpy()
        )
        line = array_line(values, "category" if column.dtype == "category" else None)
        lines[f"{place}[{name}]"] = (*line[:2], "", "", "", "varies") if str(name).startswith("umap_") else line


def array_line(array: np.ndarray, kind: str | None = None, shape: tuple[int, ...] | None = None) -> Line:
    shape_text = "x".join(map(str, array.shape if shape is None else shape)) or "one"
    rng = np.random.default_rng(0)
    if array.dtype.kind not in "biuf":
        words = [str(value) for value in array.ravel()]
        digest = zlib.crc32("\n".join(words).encode())
        chosen = np.sort(rng.permutation(len(words))[: N_ENTRIES["text"]])
        return (kind or "text", shape_text, str(digest), "", "", " | ".join(words[at] for at in chosen))
    values = array.ravel().astype(np.float64)
    finite = np.nan_to_num(values, nan=0.0, posinf=1e30, neginf=-1e30)
    chosen = np.sort(rng.permutation(len(values))[: N_ENTRIES["number"]])
    numbers = [finite.sum(), np.linalg.norm(finite), finite @ rng.normal(size=len(values))]
    name = {"b": "bool", "i": "int", "u": "int"}.get(array.dtype.kind, str(array.dtype))
    if n_missing := int((~np.isfinite(values)).sum()):
        shape_text += f", {n_missing} missing"
    entries = " ".join(f"{values[at]:.9g}" for at in chosen)
    return (kind or name, shape_text, *(f"{number:.9g}" for number in numbers), entries)


class Story:
    """The AnnData of a story and what was noted of it."""

    def __init__(self, adata: AnnData) -> None:
        self.adata = adata
        self.lines: dict[tuple[str, str], Line] = {}
        self._seen: dict[str, Line] = {}
        self.changed("data")

    def changed(self, step: str) -> None:
        """Note what is new or different in the AnnData, and what is gone."""
        now: dict[str, Line] = {}
        note_adata("", self.adata, now)
        for place, line in now.items():
            if self._seen.get(place) != line:
                self.lines[step, place] = line
        for place in self._seen.keys() - now.keys():
            self.lines[step, place] = ("gone", "", "", "", "", "")
        self._seen = now

    def run(self, verb: str, *args: Any, step: str = "", **how: Any) -> None:
        """Run a verb, such as ``tl.scan``, on the AnnData."""
        package, name = verb.split(".")
        getattr(getattr(dko, package), name)(self.adata, *args, **how)
        self.changed(step or verb)

    def got(self, getter: str, *args: Any, step: str = "", **how: Any) -> None:
        """Note what a getter or another function returns for the AnnData."""
        package, name = getter.split(".")
        self.note(step or getter, getattr(getattr(dko, package), name)(self.adata, *args, **how))

    def note(self, step: str, value: Any) -> None:
        lines: dict[str, Line] = {}
        noted("", value, lines)
        self.lines.update({(step, place): line for place, line in lines.items()})


def simulated() -> AnnData:
    """120 cells x 40 genes of counts, of two types that differ in a few genes, with an embedding."""
    adata = dko.datasets.grn(120, 40, density=0.15, share_present=(0.3, 0.95), heterogeneity=0.3, depth=600, rng=4)
    rng = np.random.default_rng(0)
    is_b = np.arange(120) % 3 == 0
    counts = adata.X.toarray()
    counts[np.ix_(is_b, np.arange(5))] += rng.poisson(4, size=(is_b.sum(), 5))
    adata.X = sparse.csr_matrix(counts.astype(np.float32))
    adata.obs["cell_type"] = pd.Categorical(np.where(is_b, "B", "T"))
    adata.obsm["X_umap"] = rng.normal(size=(120, 2)) + 4 * is_b[:, None]
    return adata


def fit_small(story: Story, step: str, **how: Any) -> None:
    story.run("tl.fit", step=step, **{"max_epochs": 2, "learning_rate": 0.01, "rng": 0, **QUIET, **how})


def grn() -> Story:
    """The default fit of counts, and every verb on it."""
    story = Story(simulated())
    story.note("datasets.grn_impact", dko.datasets.grn_impact(story.adata[:20], progress=False))
    story.note("datasets.grn_knockout", dko.datasets.grn_knockout(story.adata, ["gene_3"]))
    story.got("pp.select_genes", n_top_genes=10)
    fit_small(story, "fit, total effects", effects="total", test_fraction=0.2)
    story.run("tl.scan", **QUIET)
    knock_out(story)
    rank(story)
    story.run("tl.cluster_impact", n_neighbors=10, n_pcs=5, min_cells=5, **QUIET)
    story.got("get.clusters")
    story.run("tl.identity_shift", ["gene_3", "gene_1"], groupby="cell_type", n_neighbors=10, n_pcs=5, **QUIET)
    story.got("get.identity")
    story.run("tl.perturbation_modules", alpha=0.5, n_null=20, **QUIET)
    for what in ("modules", "markers"):
        story.got("get.modules", what=what, step=f"get.modules {what}")
    for getter in ("history", "fit_quality", "profiles"):
        story.got(f"get.{getter}")
    return story


def knock_out(story: Story) -> None:
    """Named knockouts, doses, sets and pairs."""
    sets = ["gene_3", ("gene_1", "gene_5"), ("gene_2", "gene_7", "gene_9")]
    story.run("tl.virtual_ko", sets, step="virtual_ko", **QUIET)
    story.got("get.impact")
    story.got("get.impact", downstream=True, centred=True, step="get.impact downstream")
    story.run("tl.virtual_ko", "gene_4", dose=0.4, groups={"cell_type": "T"}, step="virtual_ko, dose", **QUIET)
    story.got("get.effects", ["gene_3", "gene_1"], groupby="cell_type", **QUIET)
    story.got("get.effects", centred=True, step="get.effects centred", **QUIET)
    story.run("tl.double_ko", [("gene_1", "gene_5"), ("gene_3", "gene_9")], step="double_ko, pairs", **QUIET)
    story.run("tl.double_ko", n_samples=50, step="double_ko, sampled", **QUIET)
    story.got("get.pairs")
    story.run("tl.dose_response", ["gene_3", ("gene_1", "gene_5")], doses=[0, 0.5, 1], **QUIET)
    story.got("get.dose_response")
    story.got("get.dose_response", responders=True, step="get.dose_response responders")


def rank(story: Story) -> None:
    """What is made of a scan."""
    few = {"min_cells": 5, **QUIET}
    story.run("tl.rank_genes", n_bootstraps=20, **few)
    story.run("tl.rank_genes", groupby="cell_type", n_bootstraps=20, step="rank_genes, groups", **few)
    story.got("get.ranking")
    story.got("get.ranking", groupby="cell_type", step="get.ranking groups")
    story.run("tl.affected_genes", ["gene_3", "gene_1"], n_others=20, **few)
    story.run("tl.affected_genes", "gene_3", groupby="cell_type", n_others=20, step="affected_genes, groups", **few)
    story.got("get.affected_genes", as_wide=True)
    story.run("tl.interactions", ["gene_1", "gene_3", "gene_5"], n_permutations=20, **few)
    story.got("get.interactions")
    story.got("get.interactions", matrix="interaction", step="get.interactions matrix")
    story.got("get.impact_table")


def grn_direct() -> Story:
    """Direct effects, a model per group of cells."""
    story = Story(simulated())
    fit_small(story, "fit, direct, groups", effects="direct", groupby="cell_type")
    story.run("tl.scan", **QUIET)
    knock_out(story)
    rank(story)
    return story


def grn_paper() -> Story:
    """The setting of the publication, maps of low rank, and total effects by groups."""
    story = Story(simulated())
    fit_small(story, "fit, paper", preset="paper", key_added="paper")
    story.run("tl.scan", key="paper", **QUIET)
    story.run("tl.virtual_ko", ["gene_3", ("gene_1", "gene_5")], key="paper", **QUIET)
    story.run("tl.double_ko", n_samples=50, key="paper", **QUIET)
    fit_small(story, "fit, rank", rank=4, effects="direct", key_added="rank")
    story.run("tl.scan", key="rank", step="scan, rank", **QUIET)
    fit_small(story, "fit, total, groups", effects="total", groupby="cell_type", key_added="groups", genes=None)
    story.run("tl.scan", key="groups", step="scan, groups", **QUIET)
    story.run("tl.virtual_ko", ["gene_3", ("gene_1", "gene_5")], key="groups", step="virtual_ko, groups", **QUIET)
    return story


def files() -> Story:
    """Models in files, tables of the reference, priors and parts of the data."""
    import tempfile

    story = Story(simulated())
    fit_small(story, "fit, prior", prior=PRIOR, effects="total", test_fraction=0.2)
    story.run("tl.scan", genes=["gene_3", "gene_1", "gene_8"], groups={"cell_type": "T"}, **QUIET)
    story.run("tl.double_ko", [("gene_1", "gene_5")], **QUIET)
    with tempfile.TemporaryDirectory() as folder:
        dko.io.save(story.adata, Path(folder) / "model.npz")
        dko.io.write_reference(story.adata, folder)
        for table in sorted(Path(folder).glob("*.csv")):
            story.note(
                f"io.write_reference {table.name}", pd.read_csv(table, header=None if "map" in table.name else 0)
            )
        story.run("io.load", Path(folder) / "model.npz", key_added="loaded")
    story.run("tl.scan", key="loaded", step="scan of the loaded", **QUIET)
    return story


PRIOR = pd.DataFrame(
    {"source": ["gene_3", "gene_3", "gene_1"], "target": ["gene_6", "gene_8", "gene_3"], "weight": [1.0, -1.0, 1.0]}
)


def pbmc68k() -> Story:
    """Real cells, log values, the default fit."""
    adata = dko.datasets.pbmc68k()[::3].copy()
    story = Story(adata)
    genes = dko.pp.select_genes(adata, n_top_genes=150)
    story.note("pp.select_genes", np.array(genes))
    fit_small(story, "fit", genes=genes)
    story.run("tl.scan", **QUIET)
    story.run("tl.virtual_ko", genes[:2], **QUIET)
    story.run("tl.rank_genes", n_bootstraps=10, **QUIET)
    story.run("tl.affected_genes", genes[0], n_others=20, **QUIET)
    story.run("tl.interactions", genes[:3], n_permutations=10, **QUIET)
    story.run("tl.cluster_impact", n_pcs=10, **QUIET)
    story.run("tl.identity_shift", genes[0], groupby="cell_type", n_pcs=10, **QUIET)
    story.run("tl.perturbation_modules", n_null=20, **QUIET)
    story.got("get.ranking")
    story.got("get.clusters")
    story.got("get.fit_quality")
    return story


SCREEN: dict[str, Any] = {"perturbation_key": "perturbation", "control": "control"}
SCCVAE: dict[str, Any] = {"model": "sccvae", "min_cells": 10, "n_latent": 4, "hidden": (8,), "max_steps": 6, **SCREEN}


def screen() -> AnnData:
    adata = dko.datasets.perturb_seq(
        8, 40, n_cells=20, n_controls=80, n_modules=2, n_pairs=2, n_without_effect=1, rng=3
    )
    adata.obsm["X_umap"] = np.random.default_rng(0).normal(size=(adata.n_obs, 2))
    adata.obs["batch"] = pd.Categorical(np.where(np.arange(adata.n_obs) % 2, "one", "two"))
    return adata


def perturb_seq() -> Story:
    """A model of perturbations, and every verb that takes one."""
    story = Story(screen())
    story.run("pp.split_perturbations", n_folds=2, **SCREEN)
    single = sorted(name for name in set(story.adata.obs["perturbation"]) - {"control"} if "+" not in name)
    story.run("tl.fit", step="fit", **SCCVAE, n_members=2, holdout=single[:1], test_controls=0.2, **QUIET)
    pair = tuple(sorted(single[1:3]))
    story.run("tl.virtual_ko", [single[0], single[1], pair], **QUIET)
    story.run(
        "tl.virtual_ko", single[2], dose=0.5, mixture=True, groups={"batch": "one"}, step="virtual_ko, dose", **QUIET
    )
    story.got("get.impact")
    story.got("get.effects", **QUIET)
    story.got("get.history")
    story.run("tl.dose_response", single[:2], doses=[0, 0.5, 1], **QUIET)
    story.got("get.dose_response", responders=True)
    story.run("tl.identity_shift", single[0], groupby="batch", n_neighbors=10, n_pcs=5, **QUIET)
    story.run("tl.perturbation_modules", alpha=0.5, n_null=20, **QUIET)
    story.got("get.modules", what="markers")
    evaluate(story)
    return story


def evaluate(story: Story) -> None:
    story.run("tl.evaluate", **SCREEN, n_splits=2, n_bootstrap=10, **QUIET)
    story.got("get.evaluation")
    story.got("get.evaluation", summary=False, step="get.evaluation per perturbation")


def perturb_seq_paper() -> Story:
    """The published setting of the model of perturbations, and its other choices."""
    story = Story(screen())
    story.run("tl.fit", step="fit, paper", **SCCVAE, preset="paper", key_added="paper", **QUIET)
    story.run("tl.virtual_ko", story.adata.var_names[0], key="paper", step="virtual_ko, paper", **QUIET)
    one = {"n_members": 1, "features": "onehot"}
    story.run("tl.fit", step="fit, one-hot", **SCCVAE, **one, key_added="onehot", **QUIET)
    return story


def perturb_seq_dko() -> Story:
    """Unperturbed cells of a screen, held against the measured knockouts."""
    story = Story(screen())
    fit_small(story, "fit", **SCREEN)
    evaluate(story)
    return story


STORIES: dict[str, Callable[[], Story]] = {
    story.__name__: story
    for story in (grn, grn_direct, grn_paper, files, pbmc68k, perturb_seq, perturb_seq_paper, perturb_seq_dko)
}


@pytest.fixture
def _one_thread():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with warnings.catch_warnings(), dko.settings.override(verbosity=0):
        warnings.simplefilter("ignore")
        yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_one_thread")
@pytest.mark.parametrize("name", STORIES)
def test_results_are_those_stored(name):
    found = STORIES[name]().lines
    path, machine = HERE / f"{name}.tsv", HERE / "machine.txt"
    if os.environ.get("DKO_GOLDEN") == "write":
        path.write_text(as_text(found))
        machine.write_text(this_machine())
    with path.open(newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))[1:]
    stored = {(step, place): tuple(line) for step, place, *line in rows}
    problems = [f"lost: {step}: {place}" for step, place in stored.keys() - found.keys()]
    problems += [f"new: {step}: {place}" for step, place in found.keys() - stored.keys()]
    for at in stored.keys() & found.keys() if machine.read_text() == this_machine() else ():
        if problem := difference(stored[at], found[at], CLOSED if is_closed(name, " ".join(at)) else TRAINED):
            problems.append(f"changed: {at[0]}: {at[1]}: {problem}")
    assert not problems, "\n".join([f"{len(problems)} differences; see the top of this file", *sorted(problems)[:40]])


def this_machine() -> str:
    """Return the processor and the versions that rounding depends on, a line each."""
    from llvmlite.binding import get_host_cpu_name  # numba brings it

    libraries = ("anndata", "igraph", "numba", "numpy", "pandas", "scanpy", "scikit-learn", "scipy", "torch")
    versions = [f"{name} {version(name)}\n" for name in libraries]
    names = [f"processor {get_host_cpu_name()}\n", f"python {python_version()[:4]}\n", f"rounding {rounding():08x}\n"]
    return "".join([*names, *versions])


def rounding() -> int:
    """Return a number for how products are rounded here: processors of one name cut matrices into other pieces."""
    import torch
    from scipy.linalg import cho_factor, cho_solve

    rng, found = np.random.default_rng(0), 0
    for size in (20, 100, 700):
        a, b = rng.normal(size=(2, size, 2 * size)).astype(np.float32)
        square = a @ a.T + np.eye(size, dtype=np.float32)
        parts = [a @ b.T, a.astype(float) @ b.T.astype(float), cho_solve(cho_factor(square), b)]
        one = torch.nn.functional.linear(torch.from_numpy(a).requires_grad_(), torch.from_numpy(b)).sum(1).logsumexp(0)
        for part in [*map(np.ascontiguousarray, parts), one.detach().numpy()]:
            found = zlib.crc32(part.tobytes(), found)
    return found


def as_text(lines: dict[tuple[str, str], Line]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([*at, *line] for at, line in lines.items())
    return text.getvalue()


def is_closed(story: str, place: str) -> bool:
    """Whether no trained network has a part in a result: total effects have none, apart from the direct ones beside."""
    return story in {"grn", "files", "pbmc68k"} and not re.search(
        r"weights/(influence|intercept)|loss|fit_error|predicted|params|get.fit_quality", place
    )


def difference(stored: Line, found: Line, tolerance: float) -> str:
    """Say how two lines differ, or nothing."""
    if stored[:2] != found[:2]:
        return f"{stored[:2]} became {found[:2]}"
    if not stored[3]:
        return "" if stored == found else f"{stored[-1]!r} became {found[-1]!r}"
    (total, norm, projection), (new_total, new_norm, new_projection) = map(_floats, (stored[2:5], found[2:5]))
    entries, new_entries = map(_floats, (stored[5].split(), found[5].split()))
    size = norm / np.sqrt(_count(stored[1]))
    near = {
        "sum": abs(total - new_total) <= tolerance * norm * np.sqrt(_count(stored[1])),
        "norm": abs(norm - new_norm) <= tolerance * norm,
        "projection": abs(projection - new_projection) <= 4 * tolerance * norm,
        "entries": np.allclose(entries, new_entries, rtol=tolerance, atol=tolerance * size, equal_nan=True),
    }
    wrong = [name for name, is_near in near.items() if not is_near]
    return f"{', '.join(wrong)}: {stored[2:]} became {found[2:]}" if wrong else ""


def _floats(texts: Any) -> np.ndarray:
    return np.array([float(text) for text in texts])


def _count(shape: str) -> int:
    return 1 if shape == "one" else max(1, int(np.prod([int(part) for part in shape.split(",")[0].split("x")])))
