"""What verbs say with keywords and calls, in the options and commands that a user of the terminal types."""

from __future__ import annotations

import re
import shlex
from ast import literal_eval
from functools import partial

# Keywords of verbs whose option has another name.
OPTION_OF = {"key_added": "key", "out": "impacts"}
_VALUE = r"""\.\.\.|\[\.\.\.\]|'[^']*'|"[^"]*"|\[[^\]]*\]|True\b|False\b|-?\d+(?:\.\d+)?(?:e[-+]?\d+)?"""
_KEYWORD = re.compile(rf"(?<![\w.-])([a-z]\w*)=(?!=)({_VALUE})?")
_CALL = re.compile(r"\bdko\.\w+\.(\w+)(\([^()]*\))?")
# Names of files and genes are left as they are; an apostrophe begins none.
_QUOTED = r"""(?<!\w)'[^']*'|(?<!\w)"[^"]*\""""
_PART = re.compile(f"(?P<quoted>{_QUOTED})|{_CALL.pattern}|{_KEYWORD.pattern}")


def in_options(text: str, command: str) -> str:
    """Say in the options of a command, and in commands, what a sentence says with keywords and calls."""
    if "=" not in text and "dko." not in text:
        return text

    def reworded(part: re.Match[str]) -> str:
        return part[0] if part["quoted"] else _KEYWORD.sub(partial(_option, command), _CALL.sub(_command, part[0]))

    return _PART.sub(reworded, text)


def _command(call: re.Match[str]) -> str:
    from ._commands import COMMANDS, kinds_of

    name = next((name for name, one in COMMANDS.items() if one.verb == call[1]), None)
    if name is None:
        return f"{call[1]} in Python"
    defaults = [f"--{option} {default}" for option, (_, default) in kinds_of(name).items()]
    given = [(found[0], _option(name, found)) for found in _KEYWORD.finditer(call[2] or "")]
    return f"`{' '.join(['dko', name, *(new for old, new in given if new not in (old, *defaults))])}`"


def _option(command: str, found: re.Match[str]) -> str:
    """Spell a keyword and its value as it is typed; what is no option of the command stays as it is."""
    from ._commands import COMMANDS, is_argument, kinds_of

    known = kinds_of(command) if command in COMMANDS else {}
    name = OPTION_OF.get(found[1], found[1])
    option = name if name in known else found[1]
    if option not in known:
        return found[0]
    if found[2] == "False" and known[option][1] is not False:
        return f"--no-{option.replace('_', '-')}"
    typed = "GENE" if is_argument(command, option) else f"--{option.replace('_', '-')}"
    if found[2] == "False":
        return f"no {typed}"
    return typed if found[2] in ("...", "[...]", "True") else f"{typed} {_typed(found[2] or '')}"


def _typed(value: str) -> str:
    """Spell a value of Python for a shell."""
    if not value.startswith(("'", '"', "[")):
        return value
    try:
        given = literal_eval(value)
    except (SyntaxError, ValueError):
        return value
    return shlex.quote(given if isinstance(given, str) else ",".join(map(str, given)))
