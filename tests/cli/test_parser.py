from __future__ import annotations

from importlib.metadata import version

import pytest

from dko.cli import main

COMMANDS = (
    *("demo", "fit", "ko", "dose", "scan", "rank", "affected", "interactions", "modules", "evaluate", "report"),
    "reproduce",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_explains_it(capsys, command):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    shown = capsys.readouterr()
    assert stop.value.code == 0 and shown.err == ""
    assert shown.out.startswith(f"usage: dko {command} ")
    assert "--quiet" in shown.out and "--debug" in shown.out and "%(" not in shown.out


def test_help_lists_all_commands(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    shown = capsys.readouterr().out
    assert stop.value.code == 0
    assert all(f"\n    {command}" in shown for command in COMMANDS)
    assert max(map(len, shown.splitlines())) <= 104


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0 and capsys.readouterr().out == f"dko {version('dko')}\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("fly",), "invalid choice: 'fly'"),
        (("scn",), "invalid choice: 'scn'"),
        (("scn",), "did you mean `dko scan`? (see `dko --help`)"),
        (("evalute", "--grouby"), "did you mean `dko evaluate`?"),
        (("--verson",), "unrecognized arguments: --verson; did you mean --version? (see `dko --help`)"),
        (
            ("scan", "a.h5ad", "--ot", "b.h5ad"),
            "unrecognized arguments: --ot; did you mean --out? (see `dko scan --help`)",
        ),
        (("fit", "a.h5ad", "--grouby=x", "--out", "b.h5ad"), "--grouby; did you mean --groupby?"),
        (("fit", "a.h5ad", "--seed", "1", "--out", "b.h5ad"), "--seed; did you mean --rng?"),
        (
            ("fit", "a.h5ad", "--xyzzy", "1", "--out", "b.h5ad"),
            "unrecognized arguments: --xyzzy (see `dko fit --help`)",
        ),
        (("fit", "a.h5ad", "--out", "b.h5ad", "--effects", "totl"), "did you mean total?"),
        (("fit", "a.h5ad"), "required: --out (see `dko fit --help`)"),
        (("fit", "a.h5ad", "--out", "b.h5ad", "--max-steps", "many"), "invalid int value: 'many'"),
        (("fit", "a.h5ad", "--out", "b.h5ad", "--preset", "rock"), "invalid choice: 'rock'"),
        (("fit", "a.h5ad", "--out", "b.h5ad", "--forc"), "unrecognized arguments: --forc; did you mean --force?"),
        (("fit", "a.h5ad", "--out", "b.h5ad", "--genes", " , "), "names nothing"),
        (("fit", "a.h5ad", "--out", "b.h5ad", "--genes", "@gone.txt"), "there is no file 'gone.txt'"),
        (("ko", "a.h5ad", "--out", "b.h5ad"), "required: GENE (see `dko ko --help`)"),
        (("dose", "a.h5ad", "A", "--out", "b.h5ad", "--doses", "0,x"), "'0,x' is not numbers separated by commas"),
        (("modules", "a.h5ad"), "required: --out (see `dko modules --help`)"),
        (("reproduce", "a.csv"), "required: --out (see `dko reproduce --help`)"),
    ],
)
def test_bad_usage_is_one_line(dko, words, says):
    assert says in dko(*words).error


def test_no_words_print_the_help(dko):
    ran = dko()
    assert ran.code == 0 and ran.err == "" and ran.out.startswith("usage: dko ") and "start here:" in ran.out
