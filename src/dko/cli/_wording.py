"""What the package says to its Python users, in the words of the command line: options and commands, not calls."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

# Functions whose command has another name, and keywords whose option has.
_COMMANDS = {
    "virtual_ko": "ko",
    "dose_response": "dose",
    "rank_genes": "rank",
    "affected_genes": "affected",
    "perturbation_modules": "modules",
    "write_report": "report",
}
_OPTIONS = {"key_added": "key", "n_permutations": "permutations"}
_VALUE = r"'[^']*'|\"[^\"]*\"|\[[^\]]*\]|\{[^}]*\}|\([^)]*\)|\.\.\.|-?(?:[\w.]*\w)?"
_OPEN = ("...", "[...]")
_KEYWORD = re.compile(rf"(\w+)=({_VALUE})")
_PYTHON = re.compile(
    rf"""
    (?<!\w)(?:'[^']*'|"[^"]*"|`[^`]*`)                                 # names, values and commands stay as they are
    | (?P<settings>,?\ or\ raise\ dko\.settings\.\w+)
    | dko\.\w+\.(?P<call>\w+)(?:\((?P<given>[^()]*)\))?
    | (?:(?:call|run)\ )?(?P<library>sc\.\w+|adata)\.(?P<function>\w+)\([^()]*\)
    | \b(?P<name>[a-z]\w*)=(?P<value>{_VALUE})
    | \b(?P<bare>[a-z]+_\w+)\b
    """,
    re.VERBOSE,
)


def in_options(text: str, parsers: Mapping[str, argparse.ArgumentParser], command: str) -> str:
    """Say with the options of a command, or those of another, what a sentence says with calls and keywords.

    A keyword that no command has an option for loses its ``=``. What stands in quotes is the user's and stays.
    """

    def say(found: re.Match[str]) -> str:
        if found["settings"]:
            return ""
        if found["call"]:
            return _call(found["call"], found["given"] or "", parsers)
        if found["library"]:
            return f"use {found['function']} of {'anndata' if found['library'] == 'adata' else 'scanpy'}"
        if found["name"]:
            return _option(found["name"], found["value"], parsers, command)
        if found["bare"] and _flag(found["bare"], parsers[command]):
            return _option(found["bare"], "", parsers, command)
        return found[0]

    return _PYTHON.sub(say, text) if command in parsers else text


def _call(function: str, given: str, parsers: Mapping[str, argparse.ArgumentParser]) -> str:
    command = _COMMANDS.get(function, function)
    if command not in parsers:
        return f"{function} in Python"
    options = [
        _option(name, value, parsers, command) + (" ..." if value in _OPEN else "")
        for name, value in _KEYWORD.findall(given)
        if _flag(name, parsers[command]) and not (name == "key_added" and function != "fit")
    ]
    return f"`{' '.join(['dko', command, *options])}`"


def _option(name: str, value: str, parsers: Mapping[str, argparse.ArgumentParser], command: str) -> str:
    """Spell ``name=value`` as an option of this command, its argument, or an option of another command."""
    own = parsers[command]
    if name == "out" and _flag("impacts", own):
        name = "impacts"
    if value == "False" and (off := _flag(f"no_{name}", own, *parsers.values())):
        return off
    arguments = {action.dest: str(action.metavar) for action in own._get_positional_actions()}
    word = _flag(name, own) or arguments.get(name) or _flag(name, *parsers.values()) or name.replace("_", " ")
    return f"{word} {_spelled(value)}".rstrip()


def _flag(name: str, *parsers: argparse.ArgumentParser) -> str:
    """Return the option for a keyword, if any of these has one."""
    flag = f"--{_OPTIONS.get(name, name).replace('_', '-')}"
    return flag if any(flag in parser._option_string_actions for parser in parsers) else ""


def _spelled(value: str) -> str:
    """Spell a value as it is typed; nothing for one that is left open, and for a switch."""
    if value in {"True", "None", "[]", "{}", *_OPEN}:
        return ""
    if value.startswith("["):
        return ",".join(_spelled(part.strip()) for part in value[1:-1].split(","))
    return value[1:-1] if re.fullmatch(r"'[\w.+/:-]+'", value) else value
