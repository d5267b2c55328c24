"""Run the tutorials anew and write them in place: ``python tutorials/run_tutorials.py [name ...]``, by default all.

Those whose data are not in the folder ``DKO_TEST_DATA`` are left as they are, unless they are named: some fetch a file.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
# Bars are for those who wait.
SETTINGS = {"TQDM_DISABLE": "1", "PYTHONWARNINGS": "ignore:IProgress not found"}


def absent(path: Path) -> list[str]:
    """Name the files that a tutorial reads and that are not there."""
    data = Path(os.environ.get("DKO_TEST_DATA", "data"))
    names = re.findall(r'DATA / \\"([^"\\]+\.h5ad)\\"', path.read_text())
    return [name for name in names if not (data / name).is_file()]


def run(path: Path, folder: str | Path) -> object:
    """Run a notebook in a folder, and return it with what it shows."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=900, kernel_name="python3", resources=where)
    client.record_timing, client.coalesce_streams = False, True
    return client.execute(env=os.environ | SETTINGS)


def main(names: list[str]) -> None:
    """Run these tutorials, or all whose data are there."""
    import nbformat

    for path in [HERE / f"{name}.ipynb" for name in names] or sorted(HERE.glob("*.ipynb")):
        if not names and (missing := absent(path)):
            print(f"{path.stem}: left out, there is no {missing[0]}")
            continue
        with TemporaryDirectory() as folder:
            notebook = run(path, folder)
        nbformat.write(notebook, path)
        print(f"{path.stem}: done")


if __name__ == "__main__":
    if "DKO_TEST_DATA" in os.environ:  # notebooks run in other folders
        os.environ["DKO_TEST_DATA"] = str(Path(os.environ["DKO_TEST_DATA"]).resolve())
    main(sys.argv[1:])
