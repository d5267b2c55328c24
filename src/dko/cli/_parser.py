"""The words that the command line understands."""

from __future__ import annotations

import argparse
from importlib.metadata import version
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NoReturn

from .._core.verb import near
from . import _affected, _demo, _dose, _evaluate, _fit, _interactions, _ko, _modules, _rank, _report, _reproduce, _scan

if TYPE_CHECKING:
    from collections.abc import Sequence

_DESCRIPTION = """\
Virtual gene knockouts in single cells: what would each cell look like without a gene?

A model learns from the cells of a file how the genes that are present in a cell determine its
expression profile; then genes are removed. The impact of a knockout is the Bray-Curtis
dissimilarity, 0 to 1, of a cell's profile after and before; genes of large impact are
keystone genes.

A second model, --model sccvae, learns from cells of measured perturbations what others would do."""

_EPILOG = """\
start here:
  dko demo                                     real blood cells, from fit to plots, in under two minutes
  dko fit cells.h5ad --out fitted.h5ad         then, on your own cells: learn ...
  dko scan fitted.h5ad --out scanned.h5ad      ... knock out every gene in every cell ...
  dko ko fitted.h5ad CD74 FTL --out ko.h5ad    ... or a few genes, with the profiles after it
  dko report scanned.h5ad                      ... and all that is known on one page, scanned.html

with a screen of perturbations:
  dko fit screen.h5ad --model sccvae --perturbation-key gene --control ctrl --out fitted.h5ad
  dko ko fitted.h5ad SOX2 --out ko.h5ad        ... measured or not

Cells are read from .h5ad and .h5mu files and .zarr folders. Results go to stdout, progress to stderr.
Exit code: 0, 2 for bad usage or input, 130 after Ctrl-C, 1 for a fault of dko itself.
`dko COMMAND --help` tells more."""


_COMMANDS = (
    _demo,
    _fit,
    _ko,
    _dose,
    _scan,
    _rank,
    _affected,
    _interactions,
    _modules,
    _evaluate,
    _report,
    _reproduce,
)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, raised for the caller to show, and name what was meant."""

    commands: dict[str, Parser]

    def __init__(self, **kwargs: object):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **kwargs)  # type: ignore[arg-type]

    def check_options(self, words: Sequence[str]) -> None:
        """Refuse an option that there is not, with the one that was meant, before argparse misses those required."""
        options = {option.lstrip("-").replace("-", "_"): option for option in self._option_string_actions}
        for word in takewhile(lambda word: word != "--", words):
            option = word.partition("=")[0]
            if option.startswith("--") and option not in self._option_string_actions:
                meant = [options[name] for name in near(option.lstrip("-").replace("-", "_"), options)]
                hint = f"; did you mean {' or '.join(meant)}?" if meant else ""
                self.error(f"unrecognized arguments: {option}{hint}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse a value that is none of the choices; name the one that was meant."""
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            is_command = isinstance(action.choices, dict)
            meant = near(str(value), [str(choice) for choice in action.choices or ()])
            if shown := [f"`{self.prog} {choice}`" if is_command else choice for choice in meant]:
                error.message += f"; did you mean {' or '.join(shown)}?"
            raise

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and leaving."""
        raise ValueError(f"{message} (see `{self.prog} --help`).")


def build_parser() -> Parser:
    """Build the parser of all commands; each sets ``run``, the function that does the work."""
    parser = Parser(prog="dko", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--version", action="version", version=f"dko {version('dko')}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add(commands)
    parser.commands = commands.choices
    return parser
