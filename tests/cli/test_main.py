"""Usage, help, exit codes, and the real command as a process."""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys
from importlib.metadata import version

import pytest

from dko.cli._wording import in_options

DKO = (sys.executable, "-m", "dko")
COMMANDS = "demo plan fit ko dose scan rank affected interactions modules evaluate report embedding".split()


def raising(error):
    def work():
        raise error

    return work


@pytest.fixture
def running(dko, verb_is, raw_file, tmp_path):
    """Run ``dko fit`` with other work in place of the fit."""

    def run(work, *words):
        verb_is("fit", work)
        return dko("fit", raw_file, "--out", tmp_path / "out.h5ad", *words)

    return run


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ValueError("No such layer."), 2, "No such layer."),
        (KeyError("No 'gene' in it."), 2, "No 'gene' in it."),
        (OSError(28, "No space left on device"), 2, "[Errno 28] No space left on device"),
        (ValueError("two\n  lines"), 2, "two lines"),
        (ValueError(), 2, "ValueError"),
        (ImportError("It needs igraph; pip install it."), 2, "It needs igraph; pip install it."),
        (KeyboardInterrupt(), 130, "stopped by the user."),
        (TypeError("a fault"), 1, "unexpected TypeError: a fault (--debug shows where)"),
        (MemoryError(), 1, "unexpected MemoryError: MemoryError (--debug shows where)"),
    ],
)
def test_errors_are_one_line_and_a_code(running, error, code, line):
    ran = running(raising(error))
    assert (ran.code, ran.out, ran.err) == (code, "", f"dko: error: {line}\n")


def test_debug_shows_the_traceback_first(running):
    lines = running(raising(ValueError("wrong")), "--debug").err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1].startswith("dko: error: ")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_explains_it(dko, command):
    shown = dko(command, "--help")
    assert shown.code == 0 and shown.err == ""
    assert shown.out.startswith(f"Usage: dko {command} ")
    assert "--quiet" in shown.out and "--debug" in shown.out and "%(" not in shown.out and "``" not in shown.out


def test_options_of_one_model_have_a_heading_of_their_own(dko):
    _, ours, theirs = re.split("Parameters(?= of|  *─)", dko("fit", "--help").out)[1:]
    assert "--model dko" in ours and "--effects" in ours and "--holdout" not in ours
    assert "--model sccvae" in theirs and "--holdout" in theirs and "--layer" not in theirs


@pytest.mark.parametrize("words", [(), ("--help",)])
def test_help_lists_all_commands(dko, words):
    ran = dko(*words)
    assert ran.code == 0 and ran.err == "" and ran.out.startswith("Usage: dko ") and "start here:" in ran.out
    assert all(f" {command} " in ran.out for command in COMMANDS)
    assert dko("--version").out.strip() == f"dko {version('dko')}"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("fly",), 'Unknown command "fly".'),
        (("evalute", "--grouby"), 'Did you mean "evaluate"?'),
        (("scan", "a.h5ad", "--ot", "b.h5ad"), "Did you mean --out instead of --ot? (see `dko scan --help`)"),
        (("fit", "a.h5ad", "--grouby=x", "--out", "b.h5ad"), "Did you mean --groupby"),
        (("fit", "a.h5ad", "--xyzzy", "1", "--out", "b.h5ad"), "Unknown option: --xyzzy (see `dko fit --help`)"),
        (("fit", "a.h5ad"), "--out requires an argument (see `dko fit --help`)"),
        (("fit", "a.h5ad", "--out", "b.h5ad", "--max-steps", "many"), '--max-steps: unable to convert "many" into int'),
        (("ko", "a.h5ad", "--out", "b.h5ad"), "GENE requires an argument (see `dko ko --help`)"),
    ],
)
def test_bad_usage_is_one_line(dko, words, says):
    assert says in dko(*words).error


def test_module_runs_and_returns_the_exit_code(fitted_file):
    words = ("scan", str(fitted_file), "--out", str(fitted_file))
    ran = subprocess.run([*DKO, *words], capture_output=True, text=True)
    assert ran.returncode == 2 and ran.stdout == ""
    assert ran.stderr == f"dko: error: '{fitted_file}' exists; add --force to replace it.\n"


@pytest.mark.slow
def test_reader_of_the_results_may_leave(fitted_file, tmp_path):
    words = ("scan", str(fitted_file), "--out", str(tmp_path / "out.h5ad"), "--quiet")
    with subprocess.Popen([*DKO, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_help_is_light():
    heavy = ("torch", "scanpy", "matplotlib", "anndata", "pandas", "numba", "scipy")
    code = f"""if True:
        import json, sys
        from dko.cli import main
        main(["--help"])
        print(json.dumps([name for name in {heavy} if name in sys.modules]), file=sys.stderr)
    """
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(ran.stderr) == []


@pytest.mark.parametrize(
    ("command", "text", "said"),
    [
        ("fit", "One of use_raw=True and layer='x', not both.", "One of --use-raw and --layer x, not both."),
        ("fit", "learning_rate=-0.5 must be above 0.", "--learning-rate -0.5 must be above 0."),
        ("fit", "control='not it' needs perturbation_key=....", "--control 'not it' needs --perturbation-key."),
        ("fit", "name it, genes=[...], not target_sum=1", "name it, --genes, not target_sum=1"),
        ("fit", "genes=['A', 'B/C'] has no cell", "--genes A,B/C has no cell"),
        ("fit", "log1p=False: --layer=counts holds counts", "--no-log1p: --layer=counts holds counts"),
        ("fit", "genes=['A', 'B...", "--genes ['A', 'B..."),
        ("scan", "learning_rate=-0.5 must be above 0.", "learning_rate=-0.5 must be above 0."),
        ("fit", "key_added='a/b' must be a name.", "--key a/b must be a name."),
        ("scan", "out='a' must end in .zarr.", "--impacts a must end in .zarr."),
        ("ko", "genes='A' is no pair", "GENE A is no pair"),
        ("demo", "layer='x'", "layer='x'"),
        ("rank", "run dko.tl.scan(adata, key='mine') first.", "run `dko scan --key mine` first."),
        ("rank", "run dko.tl.scan(adata, key='dko') first.", "run `dko scan` first."),
        ("ko", "name it in dko.tl.fit(adata, genes=[...])", "name it in `dko fit --genes`"),
        ("rank", "run dko.tl.cluster_impact(adata) first", "run cluster_impact in Python first"),
        ("fit", "There is no file 'a/rng=0/b'; layer='x'", "There is no file 'a/rng=0/b'; --layer x"),
        ("ko", "No gene 'dko.tl.fit' or \"mod='a\" here.", "No gene 'dko.tl.fit' or \"mod='a\" here."),
        ("fit", "these cells' and it's layer='x'", "these cells' and it's --layer x"),
    ],
)
def test_messages_are_in_options_and_commands(command, text, said):
    assert in_options(text, command) == said


def test_warnings_are_in_options_too(running, caplog):
    def warn(*_, **__):
        logging.getLogger("dko").warning("Leave layer=%r out.", "x")

    running(warn, "--quiet")
    assert caplog.messages == ["Leave --layer x out."]


def test_names_that_a_terminal_cannot_spell_stop_nothing(running, monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)

    def work(*_, **__):
        print("β cells")
        raise KeyboardInterrupt

    running(work)
    terminal.flush()
    assert terminal.buffer.getvalue() == b"\\u03b2 cells\n"
