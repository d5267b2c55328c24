"""The ``dko`` command."""

from __future__ import annotations

import os
import sys
import traceback
from functools import partial
from typing import TYPE_CHECKING

from .._core.messages import worded
from .._settings import settings
from ._parser import build_parser
from ._wording import in_options

if TYPE_CHECKING:
    from collections.abc import Sequence

# What a user's input or files can cause; anything else is a fault of this package.
_EXPECTED = (OSError, ValueError, KeyError, FloatingPointError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv
        Words after ``dko``; those of the process by default.

    Returns
    -------
    Exit code: 0, 2 for bad usage or input, 130 after Ctrl-C, 1 for a fault of this package. Errors are one line on
    stderr; ``--debug`` shows where they came from. ``--help`` and ``--version`` raise SystemExit, as argparse has it;
    no words at all print the help.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    parser = build_parser()
    if not words:
        parser.print_help()
        return 0
    wording = partial(in_options, parsers=parser.commands, command=words[0])
    try:
        if words[0] in parser.commands:
            parser.commands[words[0]].check_options(words)
        else:
            parser.check_options(words[:1])
        args = parser.parse_args(words)
        with settings.override(verbosity=0 if args.quiet else settings.verbosity), worded(wording):
            args.run(args)
        sys.stdout.flush()
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
    return 0


def _sentence(error: BaseException) -> str:
    """Return what an exception says, on one line; a KeyError would show its message in quotes."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return " ".join(text.split()) or type(error).__name__


def _complain(message: str, code: int, words: Sequence[str]) -> int:
    if "--debug" in words:
        traceback.print_exc()
    sys.stderr.write(f"dko: error: {message}\n")
    return code
