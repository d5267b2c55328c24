from __future__ import annotations

import pytest

import dko


def test_override_and_back():
    before = vars(dko.settings).copy()
    with pytest.raises(RuntimeError), dko.settings.override(verbosity=0, max_genes=7) as inside:
        assert inside is dko.settings
        assert (dko.settings.verbosity, dko.settings.max_genes) == (0, 7)
        raise RuntimeError
    assert vars(dko.settings) == before


def test_names_that_there_are_not():
    with pytest.raises(ValueError, match=r"dko.settings has no \['verbose'\]; it has .*'verbosity'"):
        with dko.settings.override(verbose=1):
            pass


def test_what_is_set_inside_an_override_ends_with_it():
    with dko.settings.override(verbosity=0):
        dko.settings.verbosity = 2
        assert dko.settings.verbosity == 2
    assert dko.settings.verbosity == 1
