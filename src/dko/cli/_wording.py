"""What the package says to its Python users, in the words of the command line: options and commands, not calls."""

from __future__ import annotations

import re

# Functions whose command has another name, and keywords whose option has.
_COMMANDS = {
    "virtual_ko": "ko",
    "dose_response": "dose",
    "rank_genes": "rank",
    "affected_genes": "affected",
    "perturbation_modules": "modules",
    "write_report": "report",
}
_OPTIONS = {"key_added": "key"}
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


def in_options(text: str, command: str) -> str:
    """Say with the options of a command, or those of another, what a sentence says with calls and keywords.

    A keyword that no command has an option for loses its ``=``. What stands in quotes is the user's and stays.
    """
    from ._main import COMMANDS

    if command not in COMMANDS or not _PYTHON.search(text):
        return text
    from ._commands import options_of

    def say(found: re.Match[str]) -> str:
        if found["settings"]:
            return ""
        if found["call"]:
            return _call(found["call"], found["given"] or "")
        if found["library"]:
            return f"use {found['function']} of {'anndata' if found['library'] == 'adata' else 'scanpy'}"
        if found["name"]:
            return _option(found["name"], found["value"], command)
        if found["bare"] and _OPTIONS.get(found["bare"], found["bare"]) in options_of(command):
            return _option(found["bare"], "", command)
        return found[0]

    return _PYTHON.sub(say, text)


def _call(function: str, given: str) -> str:
    from ._commands import options_of
    from ._main import COMMANDS

    command = _COMMANDS.get(function, function)
    if command not in COMMANDS:
        return f"{function} in Python"
    options = [
        _option(name, value, command) + (" ..." if value in _OPEN else "")
        for name, value in _KEYWORD.findall(given)
        if _OPTIONS.get(name, name) in options_of(command) and not (name == "key_added" and function != "fit")
    ]
    return f"`{' '.join(['dko', command, *options])}`"


def _option(name: str, value: str, command: str) -> str:
    """Spell ``name=value`` as an option of this command, its argument, or an option of another command."""
    from ._commands import ARGUMENTS, options_of
    from ._main import COMMANDS

    own, name = options_of(command), _OPTIONS.get(name, name)
    if name == "out" and "impacts" in own:
        name = "impacts"
    known = name in own or any(name in options_of(other) for other in COMMANDS)
    if name not in own and name in ARGUMENTS.get(command, {}):
        word = ARGUMENTS[command][name]
    elif known:
        word = f"--{'no-' * (value == 'False')}{name.replace('_', '-')}"
    else:
        word = name.replace("_", " ")
    return f"{word} {'' if known and value == 'False' else _spelled(value)}".rstrip()


def _spelled(value: str) -> str:
    """Spell a value as it is typed; nothing for one that is left open, and for a switch."""
    if value in {"True", "None", "[]", "{}", *_OPEN}:
        return ""
    if value.startswith("["):
        return ",".join(_spelled(part.strip()) for part in value[1:-1].split(","))
    return value[1:-1] if re.fullmatch(r"'[\w.+/:-]+'", value) else value
