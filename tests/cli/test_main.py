from __future__ import annotations

import pytest

from dko import settings
from dko.cli import _fit, main

FIT = ("fit", "in.h5ad", "--out", "out.h5ad")


@pytest.fixture
def running(dko, monkeypatch):
    """Run ``dko fit`` with other work in place of the fit."""

    def run(work, *words):
        monkeypatch.setattr(_fit, "run", work)
        return dko(*FIT, *words)

    return run


def raising(error):
    def work(_):
        raise error

    return work


def test_success_is_0(running):
    ran = running(lambda _: print("a result"))
    assert (ran.code, ran.out, ran.err) == (0, "a result\n", "")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ValueError("No such layer."), 2, "No such layer."),
        (KeyError("No 'gene' in it."), 2, "No 'gene' in it."),
        (OSError(28, "No space left on device"), 2, "[Errno 28] No space left on device"),
        (FloatingPointError("Not a number."), 2, "Not a number."),
        (ValueError("two\n  lines"), 2, "two lines"),
        (ValueError(), 2, "ValueError"),
        (KeyboardInterrupt(), 130, "stopped by the user."),
        (TypeError("a fault"), 1, "unexpected TypeError: a fault (--debug shows where)"),
        (MemoryError(), 1, "unexpected MemoryError: MemoryError (--debug shows where)"),
    ],
)
def test_errors_are_one_line_and_a_code(running, error, code, line):
    ran = running(raising(error))
    assert (ran.code, ran.out, ran.err) == (code, "", f"dko: error: {line}\n")


@pytest.mark.parametrize("error", [ValueError("wrong"), KeyboardInterrupt(), TypeError("wrong")])
def test_debug_shows_the_traceback_first(running, error):
    lines = running(raising(error), "--debug").err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1].startswith("dko: error: ")


def test_quiet_silences_the_package_while_it_runs(running):
    seen = []
    with settings.override(verbosity=1):
        running(lambda _: seen.append(settings.verbosity), "--quiet")
        running(lambda _: seen.append(settings.verbosity))
        running(raising(ValueError("wrong")), "--quiet")
        assert settings.verbosity == 1
    assert seen == [0, 1]


def test_words_of_the_process_are_taken(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["dko", "fly"])
    assert main() == 2
    assert "'fly'" in capsys.readouterr().err
