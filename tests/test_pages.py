"""What pages tell readers to type runs: Python in the order of the page, commands as they stand."""

import re
import shlex
import tomllib
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import dko
from dko.cli import main

ROOT = Path(__file__).parents[1]
GUIDES = sorted(path for path in (ROOT / "docs" / "guide").glob("*.md") if path.name != "index.md")
WHOLE = [ROOT / "docs" / f"{name}.md" for name in ("index", "installation", "quickstart", "preparing", "faq")]
PAGES = [ROOT / "README.md", *WHOLE, *GUIDES]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
_BLOCK = re.compile(r"^```(?:\{code-cell\} )?(python|bash)\n((?::\w+:.*\n)*)(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page):
    """Return the language and the code of each block."""
    return [(language, code) for language, _, code in _BLOCK.findall(page.read_text())]


@pytest.fixture(scope="module")
def own_cells(tmp_path_factory):
    """Folder with what a reader has: cells with types, and a screen."""
    folder = tmp_path_factory.mktemp("own")
    dko.datasets.pbmc68k().write_h5ad(folder / "my_cells.h5ad")
    screen = dko.datasets.perturb_seq(6, 40)
    named = dict(zip(screen.varm["effect"], ("MYC", "NANOG", "POU5F1"), strict=False))
    screen.var_names = screen.var_names.map(lambda gene: named.get(gene, gene))
    screen.obs["perturbation"] = screen.obs["perturbation"].astype(str).replace(named)
    screen.write_h5ad(folder / "my_screen.h5ad")
    return folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_of_pages_runs(page, own_cells, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plt, "show", lambda: None)
    for path in own_cells.iterdir():
        (tmp_path / path.name).symlink_to(path)
    names: dict = {}
    for language, code in blocks(page):
        if language == "python":
            exec(compile(code, f"<{page.name}>", "exec"), names)
            plt.close("all")
        else:
            for line in code.splitlines():
                follow(shlex.split(line, comments=True))


def follow(words):
    """Run a command of this package; of others, check what they name."""
    match words:
        case []:
            pass
        case ["dko", "plan", path]:
            assert Path(path).is_file()  # half a minute of trying; tests/cli/test_plan.py waits for it
        case ["dko", *rest]:
            assert main(rest) == 0
        case ["make", target]:
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        case ["git", "clone", url]:
            assert url == PROJECT["urls"]["Source"]
        case ["cd", folder]:
            assert folder == PROJECT["name"]
        case ["pip", "install", "." | "./dko"]:
            pass
        case ["pip", "install", what]:
            assert what == f"dko @ git+{PROJECT['urls']['Source']}"
        case _:
            raise AssertionError(f"nobody has tried {shlex.join(words)}")


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_guides_answer_in_one_screen(page):
    text = page.read_text()
    assert any(language == "python" for language, _ in blocks(page))
    assert text.count("\n") < 90
    assert page.stem == "trust" or all(f"**{part}" in text for part in ("What it cannot say", "Next"))
