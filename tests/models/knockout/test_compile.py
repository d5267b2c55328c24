from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import numpy as np
from scipy import sparse
from dko.models.knockout import AffineMap, knock_out, scan

affine = AffineMap(np.eye(20, dtype="f4"), np.zeros(20, dtype="f4"))
presence = sparse.csr_matrix(np.ones((9, 20), dtype="f4"))
scan(affine, presence)
knock_out(affine, presence, np.array([0]), np.array([[1, 2]]))
"""


@pytest.mark.slow
def test_said_once_and_not_again_when_cached(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT]
    said = [
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=300, env=environment).stderr
        for _ in range(2)
    ]
    assert said == ["Compiling the knockout engine: a few seconds, once on this machine.\n", ""]
