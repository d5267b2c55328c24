"""Users of the command line read of options and commands, not of calls."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import dko as package
from dko.cli._main import COMMANDS, in_options
from tests.cli.conftest import python_in


@pytest.mark.parametrize(
    ("command", "text", "said"),
    [
        ("fit", "One of use_raw=True and layer='a b', not both.", "One of --use-raw and --layer 'a b', not both."),
        ("fit", "Say so with log1p=False.", "Say so with --no-log1p."),
        ("fit", "key_added='a/b' must be a name.", "--key a/b must be a name."),
        ("fit", "learning_rate=-0.5 must be above 0.", "--learning-rate -0.5 must be above 0."),
        ("fit", "Leave out of genes=['A', 'B/C'] what is silent.", "Leave out of --genes A,B/C what is silent."),
        ("ko", "genes=['A', 'B'] is one.", "GENE A,B is one."),
        ("ko", "Pass profiles=False for impacts alone.", "Pass --no-profiles for impacts alone."),
        ("ko", "Fit with groupby=..., too.", "Fit with --groupby, too."),
        ("ko", "n_jobs=2 and beta=0.1 are strange.", "n jobs 2 and beta 0.1 are strange."),
        ("scan", "out='a.csv' must end in .zarr.", "--impacts a.csv must end in .zarr."),
        ("scan", "Name a file, or raise dko.settings.result_budget.", "Name a file."),
        ("rank", "run dko.tl.scan(adata, key='mine') first.", "run `dko scan --key mine` first."),
        ("rank", "run dko.tl.rank_genes(adata, key_added='dko_ranking') first.", "run `dko rank` first."),
        ("rank", "n_bootstraps=0 must be at least 1.", "--n-bootstraps 0 must be at least 1."),
        ("affected", "name it in dko.tl.fit(adata, genes=[...]) again", "name it in `dko fit --genes ...` again"),
        ("modules", "lower min_cells, or resolution.", "lower min_cells, or resolution."),
        ("fit", "lower min_cells, or rank.", "lower --min-cells, or rank."),
        ("report", "run dko.tl.cluster_impact(adata) first", "run cluster_impact in Python first"),
        ("fit", "call adata.obs_names_make_unique() first", "use obs_names_make_unique of anndata first"),
        ("fit", "sc.pp.filter_cells(adata, min_genes=1).", "use filter_cells of scanpy."),
        ("fit", "No layer 'rank=2' in `a layer=3` of the cell's \"rng=1\".", None),
        ("no command", "rank=2", None),
    ],
)  # fmt: skip
def test_sentences(command, text, said):
    assert in_options(text, command) == (text if said is None else said)


def sentences():
    """All text of the package that is written to be read, with x for what is put into it."""

    def text(node):
        if isinstance(node, ast.JoinedStr):
            return "".join(text(part) for part in node.values)
        if isinstance(node, ast.FormattedValue):
            return "'x'" if node.conversion == ord("r") else "x"
        return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""

    root = Path(package.__file__).parent
    for path in sorted(root.rglob("*.py")):
        if path.relative_to(root).parts[0] in ("cli", "datasets", "metrics", "pl", "report"):
            continue  # not said on the command line, or in its words already
        tree = ast.parse(path.read_text(encoding="utf-8"))
        skipped: list[ast.AST] = [node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)]  # docstrings
        for joined in [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]:
            skipped += [node for node in ast.walk(joined) if node is not joined]
        for node in ast.walk(tree):
            if " " in text(node) and not any(node is other for other in skipped):
                yield " ".join(text(node).split())


# Of arguments that are Python objects: nobody names these on the command line.
OBJECTS = ("dko.settings has no", "obs_names.isin", "adata.obs['both']", "mdata")


def test_no_sentence_of_the_package_is_in_python():
    found = [text for text in sentences() if not any(part in text for part in OBJECTS)]
    assert sum(bool(python_in(text)) for text in found) > 80, "this test looks at the right ones"
    for command in COMMANDS:
        for text in found:
            said = in_options(text, command)
            assert not python_in(said), f"{text!r} is {said!r} to users of `dko {command}`."
