"""Commands from the signatures of the verbs: read cells, call the verb, write cells and table, print the table."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from inspect import Parameter, Signature, getdoc, signature
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from anndata import AnnData
from cyclopts import Parameter as Option

from .. import io, tl
from .._core import results
from .._core.cells import unwrap
from .._core.fitted import Fitted, read_fitted
from .._core.messages import say
from .._core.names import labels_of
from .._core.results import Result
from .._core.tables import Table
from .._settings import settings
from ..io._files import check_endings, read_any, read_prior, table_ending, write_any, write_table
from ..io._target import check_target
from ..models import REGISTRY, model_class
from ..models.fitting import Config
from ..report import SECTIONS, Run, open_run
from ._wording import OPTION_OF


class Command(NamedTuple):
    """A verb as a command: words of an example, and what it makes, which is printed as the report shows it."""

    verb: str
    example: str
    made: tuple[Result, ...] = ()
    # What --table writes: a function of dko.get, the one of the result if none is named, and its keywords.
    getter: str = ""
    how: Mapping[str, Any] = {}


_FIT = "cells.h5ad --out fitted.h5ad --layer counts --groupby cell_type --genes CD74,FTL --n-top-genes 1000"
_KO = "fitted.h5ad CD74 FTL+LYZ --dose 0.5 --groups cell_type=Dendritic --out ko.h5ad"
_SCORES = "fitted.h5ad --perturbation-key gene --control non-targeting --out scores.csv"
COMMANDS = {
    "plan": Command("plan", "cells.h5ad --n-top-genes 5000 --workers 16"),
    "fit": Command("fit", _FIT, (results.PERTURBATIONS, results.QUALITY)),
    "ko": Command("virtual_ko", _KO, (results.KNOCKOUTS,), how={"tidy": True}),
    "dose": Command(
        "dose_response", "fitted.h5ad CD74+FTL --doses 0,0.5,1 --mixture --out doses.h5ad", (results.DOSES,)
    ),
    "scan": Command(
        "scan", "fitted.h5ad --out scanned.h5ad --table impacts.csv.gz", (results.RANKING,), "impact_table"
    ),
    "rank": Command("rank_genes", "scanned.h5ad --out ranked.h5ad --groupby cell_type", (results.RANKING,)),
    "affected": Command("affected_genes", "fitted.h5ad CD74 FTL --out out.h5ad --table out.csv", (results.AFFECTED,)),
    "interactions": Command("interactions", "fitted.h5ad CD74 FTL LYZ --out out.h5ad", (results.INTERACTIONS,)),
    "modules": Command("perturbation_modules", "perturbed.h5ad --out out.h5ad --resolution 1.5", (results.MODULES,)),
    "evaluate": Command("evaluate", _SCORES, (results.EVALUATION,), how={"summary": False}),
    "report": Command("write_report", "scanned.h5ad --groupby cell_type --title 'Keystone genes of blood'"),
    "embedding": Command("write_embedding", "scanned.h5ad --out cells.html --genes CD74,LYZ --downstream"),
}
# Commands that write a page.
_PAGES = ("report", "embedding")
_NEXT = {"fit": "dko ko {out} GENE --out ko.h5ad", "scan": "dko rank {out} --out ranked.h5ad"}
# Commands whose genes are typed without an option.
_OF_GENES = ("ko", "dose", "affected", "interactions")

# What is typed for a parameter of this type; one of any other type has no option.
_LISTS = ("Sequence[str]", "str | Sequence[str]", "Knockouts", "Names", "Groups")
_TYPES: dict[str, Any] = {
    **dict.fromkeys(("str", "str | float | bool", "Sequence[float]", *_LISTS), str),
    **{"int": int, "float": float, "bool": bool, "RNG": int, "PriorKnowledge": Path, "str | Path": Path},
}
# Options of models that may be tables as well; from a file they are names.
_KINDS = {"str | pd.DataFrame": "str", "Any": "str"}
# Heading of options in the help; those of one model alone have one of their own.
_COMMON = "Parameters"
_NO_OPTION = {"adata", "path", "copy", "progress", "covariates", "init_from", "num_nodes", "strategy"}
# Instead of what the verb says of it.
_HELP = {
    "impacts": "Write them to this .zarr or .h5ad, block by block, not into OUT: for more than fit into memory.",
    "key": "Name of the fit in the file.",
    "mod": "Modality with the genes, in .h5mu files.",
    "rng": "Seed of all random numbers.",
    "device": "Where to compute: auto, cpu, cuda, cuda:1, mps.",
    "genes": "Genes to take, or to knock out, or whose knockouts to show.",
    "n_top_genes": "Number of genes in all.",
    "effects": "Of a knockout on other genes: direct, with all else as it is, total, on all paths, or auto.",
    "prior": "Known regulation, CSV with source, target, weight, or measured effects, CSV or h5ad, perturbed x genes.",
}
_GROUPS = "Only cells of these groups of the fit's --groupby or, written COLUMN=GROUP, of any obs column."


def _verb(name: str) -> Callable[..., Any]:
    return getattr(io if name in _PAGES else tl, COMMANDS[name].verb)


def _configs(name: str) -> list[Config]:
    return [model_class(model).presets[None][0] for model in REGISTRY] if name == "fit" else []


@cache
def kinds_of(name: str) -> dict[str, tuple[str, Any]]:
    """Return the parameters of a verb that can be typed, by option: their types, ``None`` left out, and defaults."""
    found = {}
    for parameter in signature(_verb(name)).parameters.values():
        kind = str(parameter.annotation).removesuffix(" | None")
        if parameter.name not in _NO_OPTION and (parameter.name != "key_added" or name == "fit"):
            found[OPTION_OF.get(parameter.name, parameter.name)] = kind, parameter.default
    for option, kind in [one for config in _configs(name) for one in config.options().items()]:
        found.setdefault(option, (_KINDS.get(kind, kind.removesuffix(" | None")), None))
    return {option: one for option, one in found.items() if one[0] in _TYPES or is_argument(name, option)}


def is_argument(name: str, option: str) -> bool:
    """Whether an option of a verb is typed without its name."""
    return name in _OF_GENES and option in ("gene", "genes")


def command(name: str) -> Callable[..., None]:
    """Return the function of a command, with the parameters of its verb and what all commands have."""
    parameters = _parameters(name)
    words = Signature(parameters)

    def run(*args: Any, **given: Any) -> None:
        bound = words.bind(*args, **given)
        bound.apply_defaults()
        _run(name, dict(bound.arguments))

    run.__signature__ = words  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    says = " ".join((getdoc(_verb(name)) or "").partition("\n\n")[0].split())
    run.__doc__ = f"{says}\n\nexample:\n  dko {name} {COMMANDS[name].example}"
    return run


def _parameters(name: str) -> list[Parameter]:
    found, kinds = [_parameter("input", Path, "Cells: .h5ad, .h5mu or .zarr.", typed="IN")], kinds_of(name)
    out = "File to write, of the same kind as IN (.h5ad and .zarr are)"
    out += "." if name == "fit" else "; or .csv or .tsv, for the table alone."
    if name in _PAGES:
        out = "Page to write, .html" + ("; IN with that ending by default." if name == "report" else ".")
    if name != "plan":
        found.append(_parameter("out", Path, out, None if name in ("evaluate", "report") else Parameter.empty))
    if name not in ("fit", *_PAGES):
        found.append(_parameter("table", Path, "Also write the whole table: .csv or .tsv, .gz too."))
    texts = _texts(name) | _HELP
    only: dict[str, str] = {}
    for model, config in zip(REGISTRY, _configs(name), strict=False):
        only |= dict.fromkeys(config.options(), f"{_COMMON} of --model {model}")
    for option, (kind, default) in kinds.items():
        if is_argument(name, option):
            together = ", or genes removed together: CD74+FTL" if kind == "Knockouts" else ""
            found.insert(1, _parameter(option, list[str], f"Gene{together}.", typed="GENE"))
        else:
            text = _GROUPS if kind == "Groups" else texts.get(option, "")
            text += " A,B,C, or @FILE with one per line." if kind in _LISTS else ""
            default = None if default == () else default
            found.append(_parameter(option, _TYPES[kind], text, default, group=only.get(option, _COMMON)))
    flags = {
        "force": "Replace files that exist; then OUT may also be IN.",
        "quiet": "No messages and no progress bars, results only.",
        "debug": "Show the traceback of an error.",
    }
    return [*found, *(_parameter(flag, bool, text, False) for flag, text in flags.items())]


def _parameter(
    name: str, kind: Any, text: str, default: Any = None, typed: str = "", group: str = _COMMON
) -> Parameter:
    if typed:
        annotation: Any = Annotated[kind, Option(name=typed, help=text)]
        return Parameter(name, Parameter.POSITIONAL_ONLY, annotation=annotation)
    how: dict[str, Any] = {"negative": ()} if default is False else {}
    option = Option(help=text, show_default=default not in (None, False, True), group=group, **how)
    annotation = Annotated[kind if default is Parameter.empty else kind | None, option]
    return Parameter(name, Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def _texts(name: str) -> dict[str, str]:
    """Return the first sentence of what the docstring of a verb says of each parameter."""
    from docstring_parser import DocstringStyle, parse

    configs = {one for config in _configs(name) for one in type(config).__mro__}
    parsed = [parse(one.__doc__ or "", DocstringStyle.NUMPYDOC) for one in (*configs, _verb(name))]
    described = {one.arg_name: one.description or "" for each in parsed for one in each.params}
    found: dict[str, str] = {}
    for options, text in described.items():
        plain = re.sub(r":\w+:`~?([^`]+)`", r"\1", " ".join(text.split())).replace("`", "").replace('"', "")
        first = re.split(r"(?<=[.:;]) (?=[A-Z])", plain)[0].rstrip(".:;")
        name, *others = (OPTION_OF.get(option, option) for option in options.split(", "))
        found |= {name: f"{first}.", **dict.fromkeys(others, f"See --{name.replace('_', '-')}.")}
    return found


def _run(name: str, given: dict[str, Any]) -> None:
    """Do what a command is for; nothing is computed before all that is wrong with its words is known."""
    chosen, kinds = COMMANDS[name], kinds_of(name)
    with settings.override(verbosity=0 if given["quiet"] else settings.verbosity):
        if name in _PAGES:
            return _write_page(name, given)
        if name == "plan":
            return _print_plan(given)
        files, source = outputs(given), given["input"]
        data = read_any(source)
        adata = unwrap(data, given["mod"])
        opened = None if name == "fit" else (adata, read_fitted(adata, given["key"]))
        options = {option: _typed(option, kind, given, opened) for option, (kind, _) in kinds.items()}
        _call(_verb(name), data, options)
        run = open_run(data, key=options["key"], mod=options["mod"], groupby=options.get("groupby"))
        if "out" in files:  # first of all: whatever becomes of the tables, the results are kept
            write_any(data, files["out"])
            say(f"Wrote {files['out']}. Next: {_NEXT.get(name, 'dko report {out}').format(out=files['out'])}")
        if "impacts" in files:
            return None
        if "table" in files:
            how = {"groupby": options["groupby"]} if name == "rank" else chosen.how
            table, path = run.get(chosen.getter or chosen.made[-1].getter, **how), files["table"]
            named = any(name is not None for name in table.index.names)
            write_table(table, path, index=named)
            say(f"Wrote {path}.")
        # The knockouts that were asked for, in groups where there are groups.
        grouped = options.get("groupby") is not None or bool(run.fitted.groups)
        asked = options.get("genes") or options.get("gene")
        labels, n_rows = labels_of(asked) if asked else None, 3 if grouped else 10
        show(replace(run, n_rows=n_rows, labels=labels, groupby=run.groupby if grouped else None), *chosen.made)
    return None


def _write_page(name: str, given: dict[str, Any]) -> None:
    source = given["input"]
    title, page = given["title"] or f"Virtual knockouts: {source.name}", given["out"] or source.with_suffix(".html")
    if page.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--out {str(page)!r} has to end in .html.")
    check_output(page, given["force"])
    options = {option: _typed(option, kind, given, None) for option, (kind, _) in kinds_of(name).items()}
    _verb(name)(read_any(source), page, **{**options, "title": title})


def _print_plan(given: dict[str, Any]) -> None:
    from ._plan import print_plan

    table, kinds = given["table"], kinds_of("plan")
    if table is not None:
        check_output(table, given["force"])
    options = {option: _typed(option, kind, given, None) for option, (kind, _) in kinds.items()}
    print_plan(given["input"], table, options)


def _typed(option: str, kind: str, given: dict[str, Any], opened: tuple[AnnData, Fitted] | None) -> Any:
    """Return what the verb takes for what was typed: also tuples of genes, and groups by their column."""
    value = given[option]
    if kind == "PriorKnowledge" and value is not None:
        return read_prior(value)
    if kind == "Sequence[float]" and isinstance(value, str):
        try:
            return [float(word) for word in value.split(",")]
        except ValueError as error:
            raise ValueError(f"--{option} {value} is not numbers separated by commas, such as 0,0.5,1.") from error
    words = names(value) if kind in _LISTS and isinstance(value, str) else value
    if words is None or opened is None or kind not in ("Knockouts", "Groups"):
        return words
    adata, fitted = opened
    if kind == "Knockouts":
        known = fitted.targets or adata.var_names
        return [word if "+" not in word or word in known else tuple(word.split("+")) for word in words]
    pairs = [word.partition("=") for word in words]
    groupby = given.get("groupby") or fitted.params.get("groupby")
    if groupby is not None and not any(equals and column in adata.obs for column, equals, _ in pairs):
        return words
    if unnamed := [column for column, equals, _ in pairs if not equals]:
        raise ValueError(f"--groups {unnamed[0]!r} names no column; write COLUMN={unnamed[0]}, with a column of obs.")
    return {column: [name for other, _, name in pairs if other == column] for column, _, _ in pairs}


def _call(verb: Callable[..., Any], data: Any, options: dict[str, Any]) -> None:
    known = signature(verb).parameters
    renamed = {option: name for name, option in OPTION_OF.items() if name in known and option not in known}
    try:
        verb(data, **{renamed.get(option, option): value for option, value in options.items() if value is not None})
    except TypeError as error:
        if "takes no" not in str(error):  # an option of another model
            raise
        raise ValueError(str(error)) from error


_WIDTH, _MOST_ROWS = 112, 40


def outputs(given: dict[str, Any]) -> dict[str, Path]:
    """Return what is to be written, by option; `out` is cells or, by its ending, the table.

    Refused are outputs that could not be written in the end, or are one file.
    """
    source, out = given["input"], given["out"]
    files = {name: given[name] for name in ("out", "table", "impacts") if given.get(name) is not None}
    if out is not None and table_ending(out) in (".csv", ".tsv"):
        if "table" not in given or "table" in files:
            raise ValueError(f"--out {str(out)!r} is a table; name a file of cells, .h5ad, .h5mu or .zarr.")
        files["table"] = files.pop("out")
    if "out" in files:
        check_endings(source, out)
    if {"table", "impacts"} <= set(files):
        raise ValueError("--table needs the impacts in memory, which --impacts writes to a file; choose one.")
    named = {"IN": source, **{f"--{name}": path for name, path in files.items()}}
    for (one, path), (other, same) in combinations(named.items(), 2):
        if os.path.realpath(path) == os.path.realpath(same) and (one, other) != ("IN", "--out"):
            raise ValueError(f"{one} and {other} are one file, {str(same)!r}; they have to be different files.")
    for name, path in files.items():
        check_output(path, given["force"], store=name in ("out", "impacts") and path.suffix == ".zarr")
    return files


def check_output(path: Path, force: bool, *, store: bool = False) -> None:
    """Refuse an output that could not be written in the end, or would replace what the user has not given up."""
    if check_target(path, store=store).exists() and not force:
        raise FileExistsError(f"{str(path)!r} exists; add --force to replace it.")


def names(text: str) -> list[str]:
    """Read ``A,B,C``, or ``@FILE`` with a name per line, into a list."""
    path = Path(text[1:])
    if text.startswith("@") and not path.is_file():
        raise ValueError(f"There is no file {str(path)!r}, which {text} names.")
    words = path.read_text(encoding="utf-8").splitlines() if text.startswith("@") else text.split(",")
    if not any(word.strip() for word in words):
        raise ValueError(f"{text!r} names nothing.")
    return [word.strip() for word in words if word.strip()]


def show(run: Run, *shown: Result) -> None:
    """Print sections of the report: what a result is, what it says here, and its tables with their notes."""
    for result, blocks_of in SECTIONS.values():
        if result not in shown or not run.has(result):
            continue
        blocks = list(blocks_of(run))
        tables = [block.brief for block in blocks if isinstance(block, Table)]
        said = [result.lead.replace("`", "")] * bool(tables) + [one for one in blocks if isinstance(one, str)]
        parts = [result.title, textwrap.fill(" ".join(said).strip(), _WIDTH)]
        for number, table in enumerate(tables):
            known = table.notes in [before.notes for before in tables[:number]]
            notes = "" if known else textwrap.fill(table.notes, _WIDTH, initial_indent="  ", subsequent_indent="  ")
            parts.append("\n".join(filter(None, [f"{table.caption}:", table.as_text(_MOST_ROWS), notes])))
        print("\n\n".join(parts), end="\n\n", flush=True)
