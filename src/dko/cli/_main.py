"""The ``dko`` command: from words to a command, and from errors to one line in the words of the command line."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from io import TextIOWrapper
from shutil import get_terminal_size

from .._core.messages import worded
from ._wording import in_options

# What a user's input or files can cause, ImportError where another package is needed; anything else is a fault of ours.
_EXPECTED = (OSError, ValueError, KeyError, FloatingPointError, ImportError)
_DESCRIPTION = """\
Virtual gene knockouts in single cells: what would each cell look like without a gene?

A model learns from the cells of a file how the genes that are present in a cell determine its
expression profile; then genes are removed. The impact of a knockout is the Bray-Curtis
dissimilarity, 0 to 1, of a cell's profile after and before; genes of large impact are keystone
genes. A second model, --model sccvae, learns from cells of measured perturbations.

start here:
  dko demo                                     real blood cells, from fit to plots, in under two minutes
  dko plan cells.h5ad                          then, on your own cells: how long it will take,
  dko fit cells.h5ad --out fitted.h5ad         learn ...
  dko scan fitted.h5ad --out scanned.h5ad      ... knock out every gene in every cell ...
  dko ko fitted.h5ad CD74 FTL --out ko.h5ad    ... or a few genes, with the profiles after it
  dko report scanned.h5ad                      ... and all results on one page, scanned.html

Cells are read from .h5ad and .h5mu files and .zarr folders. Results go to stdout, messages and progress to stderr.
Exit code: 0, 2 for bad usage or input, 130 after Ctrl-C, 1 for a fault of dko itself.
`dko COMMAND --help` tells more."""

# Each command, and a line for the list.
COMMANDS = {
    "demo": "fit, scan and plot real blood cells",
    "plan": "say how long it will take, and how much memory and disk",
    "fit": "learn from the cells of a file",
    "ko": "knock out a few genes",
    "dose": "knock out a few genes at several doses",
    "scan": "knock out every gene",
    "rank": "rank genes, with intervals and p-values",
    "affected": "find the genes that a knockout changes",
    "interactions": "find the pairs of genes that interact",
    "modules": "group knockouts by their effects",
    "evaluate": "compare with measured knockouts",
    "report": "write all results on one page",
    "embedding": "write a page on which cells say their impacts",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return 0, 2 for bad usage or input, 130 after Ctrl-C, 1 for a fault of this package.

    `argv` are the words after ``dko``, by default those of the process, none for the help. Errors are one line on
    stderr; ``--debug`` shows where they came from.
    """
    words = (sys.argv[1:] if argv is None else list(argv)) or ["--help"]
    wording = partial(in_options, command=words[0])
    os.environ.setdefault("MPLBACKEND", "agg")  # a command has no window to draw in
    if isinstance(sys.stdout, TextIOWrapper):  # names that a terminal or a pipe cannot spell, as stderr has them
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with worded(wording):
            _run(words)
        sys.stdout.flush()
        return 0
    except BrokenPipeError:
        # The reader of stdout (head, less) has had enough. Nothing may be left to flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return _complain("stopped by the user.", 130, words)
    except _EXPECTED as error:
        return _complain(wording(_sentence(error)), 2, words)
    except Exception as error:  # noqa: BLE001 the last resort of a command: its user sees a line, not a traceback
        fault = f"unexpected {type(error).__name__}: {wording(_sentence(error))} (--debug shows where)"
        return _complain(fault, 1, words)


def _complain(message: str, code: int, words: Sequence[str]) -> int:
    if "--debug" in words:
        traceback.print_exc()
    sys.stderr.write(f"dko: error: {message}\n")
    return code


def _run(words: Sequence[str]) -> None:
    """Parse the words and run the command; only its own options are looked up, so that the rest is not imported."""
    from cyclopts import App, CycloptsError
    from rich.console import Console

    app = App(
        "dko",
        console=Console(width=max(80, min(get_terminal_size((110, 24)).columns, 110)), highlight=False),
        help=_DESCRIPTION,
        help_format="plaintext",
        version=f"dko {version('dko')}",
        suppress_keyboard_interrupt=False,
    )
    for place, (name, line) in enumerate(COMMANDS.items()):
        if name == words[0]:
            app.command(_command(name), name=name)
        else:
            app.command(lambda: None, name=name, help=line, sort_key=place)
    try:
        app(words, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        error.verbose = False
        prog = f"dko {words[0]}" if words[0] in COMMANDS else "dko"
        raise ValueError(f"{_sentence(error).rstrip('.')} (see `{prog} --help`).") from error


def _command(name: str) -> Callable[..., None]:
    from ._commands import command
    from ._demo import demo

    return demo if name == "demo" else command(name)


def _sentence(error: BaseException) -> str:
    """Return what an exception says, on one line; a KeyError would show its message in quotes."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return " ".join(text.split()) or type(error).__name__
