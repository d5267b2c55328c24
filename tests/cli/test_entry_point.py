"""The real command, as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from dko.io._files import read_any

DKO = (sys.executable, "-m", "dko")


def test_module_runs_and_returns_the_exit_code(fitted_file, tmp_path):
    words = ("scan", str(fitted_file), "--out", str(tmp_path / "out.h5ad"))
    ran = subprocess.run([*DKO, *words], capture_output=True, text=True)
    assert ran.returncode == 0 and ran.stdout.startswith("Keystone genes"), ran
    assert "dko_impact" in read_any(tmp_path / "out.h5ad").layers
    again = subprocess.run([*DKO, *words], capture_output=True, text=True)
    assert again.returncode == 2 and again.stdout == ""
    assert again.stderr == f"dko: error: '{tmp_path / 'out.h5ad'}' exists; add --force to replace it.\n"


@pytest.mark.slow
def test_reader_of_the_results_may_leave(fitted_file, tmp_path):
    words = ("scan", str(fitted_file), "--out", str(tmp_path / "out.h5ad"), "--quiet")
    with subprocess.Popen([*DKO, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_help_is_light():
    heavy = ("torch", "scanpy", "matplotlib.pyplot", "lightning_fabric", "mudata", "numba")
    code = f"""if True:
        import json, sys
        from dko.cli import main
        try:
            main(["--help"])
        except SystemExit:
            print(json.dumps([name for name in {heavy} if name in sys.modules]), file=sys.stderr)
    """
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(ran.stderr) == []
