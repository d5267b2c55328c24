from __future__ import annotations

import logging
import time

import dko
from dko._core.messages import progress, say


def test_to_stderr_unless_switched_off(capsys):
    say("hello")
    with dko.settings.override(verbosity=0):
        say("nothing")
    assert capsys.readouterr() == ("", "hello\n")


def test_to_whoever_listens(caplog, capsys):
    with caplog.at_level(logging.INFO, logger="dko"), dko.settings.override(verbosity=0):
        say("hello")
    assert caplog.messages == ["hello"]
    assert capsys.readouterr() == ("", "")


def slowly(n):
    for i in range(n):
        time.sleep(0.3)
        yield i


def test_a_bar_for_what_takes_long(capsys):
    assert list(progress(slowly(5), total=5, description="scan", unit="cell")) == list(range(5))
    assert "scan: " in capsys.readouterr().err
    assert list(progress(range(100), total=100, description="scan", unit="cell")) == list(range(100))
    with dko.settings.override(verbosity=0):
        list(progress(slowly(5), total=5, description="scan", unit="cell"))
    assert capsys.readouterr() == ("", "")
