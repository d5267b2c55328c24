"""Sphinx configuration.

Without a network, or with ``DKO_DOCS_OFFLINE=1``, names of other projects are plain text instead of links.
"""

import os
import re
import shutil
from functools import partial
from importlib.metadata import metadata
from pathlib import Path

import requests
from docutils import nodes
from latex2mathml.converter import convert

HERE = Path(__file__).parent


def _online() -> bool:
    try:
        return requests.head("https://docs.python.org/3/objects.inv", timeout=10).ok
    except requests.RequestException:
        print("No network: names of other projects are not linked, and links to other sites not checked.")
        return False


# What is published, and checked before, must not lack links because a site was slow.
PUBLISHED = bool(os.environ.keys() & {"GITHUB_ACTIONS", "READTHEDOCS"})
OFFLINE = os.environ.get("DKO_DOCS_OFFLINE") == "1" or not (PUBLISHED or _online())

info = metadata("dko")
project = info["Name"]
author = info["Author"]
copyright = f"2026, {author}"
version = release = info["Version"]
repository = "https://github.com/dko-dev/dko"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx_autodoc_typehints",  # after napoleon, whose parameters it completes
    "sphinx_copybutton",
    "sphinx_design",
]

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # sphinx_autodoc_typehints puts them beside each parameter
default_role = "literal"
copybutton_prompt_text = r">>> |\.\.\. "  # not to be copied; nor are the lines without it, which are output
copybutton_prompt_is_regexp = True
napoleon_google_docstring = False
napoleon_use_rtype = False  # what a function returns is told in words; its type comes from the annotation
typehints_defaults = "braces"
always_use_bars_union = True
# The public module of a class instead of the one that it is written in: anndata._core, pandas.core, ...
typehints_fixup_module_name = partial(re.sub, r"(\._|\.core\b|\.bit_generator\b).*", "")

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"  # quickstart and guide are run by every build, so that what they show is true
nb_execution_excludepatterns = ["tutorials/*"]  # committed with their output
nb_execution_in_temp = True  # what they write is nobody's
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True  # messages of one cell in one box
nb_render_image_options = {"alt": "What the code above draws"}  # where a cell has no :mystnb: with a better one
os.environ["TQDM_DISABLE"] = "1"  # bars are for those who wait
os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"  # ... which would be widgets

exclude_patterns = ["_build", "**.ipynb_checkpoints"]
html_static_path = ["_static"]
html_css_files = ["dko.css"]
html_js_files = ["dko.js"]
html_math_renderer = "mathml"

html_theme = "sphinx_book_theme"
html_title = project
html_theme_options = {
    "repository_url": repository,
    "repository_branch": "main",
    "path_to_docs": "docs/",
    "use_repository_button": True,
    "navbar_persistent": [],  # a second search field
}

other_projects = {
    "anndata": "https://anndata.readthedocs.io/en/stable/",
    "matplotlib": "https://matplotlib.org/stable/",
    "mudata": "https://mudata.readthedocs.io/stable/",
    "numpy": "https://numpy.org/doc/stable/",
    "pandas": "https://pandas.pydata.org/pandas-docs/stable/",
    "python": "https://docs.python.org/3/",
    "scanpy": "https://scanpy.readthedocs.io/en/stable/",
    "scipy": "https://docs.scipy.org/doc/scipy/",
    "torch": "https://docs.pytorch.org/docs/stable/",
}
intersphinx_mapping = {} if OFFLINE else {name: (url, None) for name, url in other_projects.items()}

linkcheck_ignore = [r"https?://"] if OFFLINE else [r"https://doi\.org/"]  # publishers turn programs away
linkcheck_anchors_ignore_for_url = [r"https://github\.com/.*"]  # made by scripts

nitpicky = True  # a link that leads nowhere is an error
nitpick_ignore_regex = [
    (r"py:class", r"numpy\._.*"),  # what numpy.typing.ArrayLike is made of
    (r"py:class", r"dko\.metrics\.Agreement"),  # a named tuple, which the text of its function spells out
    (r"py:data", r"Ellipsis"),  # of tuple[int, ...], which sphinx_autodoc_typehints links
]
if OFFLINE:  # nobody is there to say whether a name of another project exists
    nitpick_ignore_regex += [
        (r"py:.*", rf"({'|'.join(other_projects)}|collections|pathlib|typing)\..*"),
    ]


def _copy_tutorials() -> None:
    """Put the notebooks of ``tutorials/`` where Sphinx looks; links to files are not portable."""
    for notebook in sorted((HERE.parent / "tutorials").glob("*.ipynb")):
        shutil.copyfile(notebook, HERE / "tutorials" / notebook.name)


def _write_mathml(translator, node) -> None:
    if isinstance(node, nodes.math_block):
        translator.body.append(f'<div class="math">{convert(node.astext(), display="block")}</div>')
    else:
        translator.body.append(convert(node.astext()))
    raise nodes.SkipNode


def setup(app) -> None:
    """Write formulas as MathML, which browsers draw without a network and screen readers read."""
    app.add_html_math_renderer("mathml", (_write_mathml, None), (_write_mathml, None))


_copy_tutorials()
