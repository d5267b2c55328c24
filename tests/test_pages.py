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
PBMC = dko.datasets.pbmc68k
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
_BLOCK = re.compile(r"^```(?:\{code-cell\} )?(python|bash)\n((?::\w+:.*\n)*)(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page):
    """Return the language and the code of each block."""
    return [(language, code) for language, _, code in _BLOCK.findall(page.read_text())]


def few_cells():
    """Return cells of four types, with genes that pages name and some more: what runs on these runs on all."""
    adata = PBMC()
    text = "".join(page.read_text() for page in PAGES)
    genes = {*re.findall(r"[A-Z][A-Z0-9-]+", text), *adata.var_names[::5]}
    types = ["CD14+ Monocyte", "CD19+ B", "CD56+ NK", "Dendritic"]
    return adata[adata.obs["cell_type"].isin(types), adata.var_names.isin(genes)][::2].copy()


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Folder with what a reader has, cells with types and a screen, and the commands that were followed in it."""
    folder = tmp_path_factory.mktemp("own")
    few_cells().write_h5ad(folder / "my_cells.h5ad")
    screen = dko.datasets.perturb_seq(6, 40)
    named = dict(zip(screen.varm["effect"], ("MYC", "NANOG", "POU5F1"), strict=False))
    screen.var_names = screen.var_names.map(lambda gene: named.get(gene, gene))
    screen.obs["perturbation"] = screen.obs["perturbation"].astype(str).replace(named)
    screen.write_h5ad(folder / "my_screen.h5ad")
    return folder, set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_of_pages_runs(page, own, fit_once, monkeypatch):
    folder, followed = own
    monkeypatch.chdir(folder)
    monkeypatch.setattr(plt, "show", lambda: None)
    monkeypatch.setattr(dko.datasets, "pbmc68k", few_cells)
    monkeypatch.setattr(dko.tl, "fit", fit_once)
    names: dict = {}
    for language, code in blocks(page):
        if language == "python":
            exec(compile(code, f"<{page.name}>", "exec"), names)
            plt.close("all")
        else:
            for line in code.splitlines():
                if line not in followed:  # by another page, in the same folder
                    follow(shlex.split(line, comments=True))
                followed.add(line)


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


@pytest.mark.parametrize("page", [*WHOLE, *GUIDES], ids=lambda page: page.stem)
def test_pictures_of_pages_are_described(page):
    cells = re.findall(r"^```\{code-cell\} python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    described = re.compile(r':mystnb: \{image: \{alt: ".{30,}"\}\}\n')
    assert all(described.match(cell) for cell in cells if re.search(r"\.pl\.", cell))


def test_names_that_pages_mention_exist():
    parts = "tl|get|pl|pp|io|metrics|datasets|models|settings"
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for part, name in re.findall(rf"\bdko\.({parts})\.(\w+)", page.read_text()):
            assert hasattr(getattr(dko, part), name), f"{page.name}: dko.{part}.{name}"


def test_files_that_the_readme_links_to_exist():
    links = re.findall(r"\]\((?!http)([^)#]+)", (ROOT / "README.md").read_text())
    assert links and all((ROOT / link).is_file() for link in links)
