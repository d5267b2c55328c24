"""Sums of what is found in parts."""

from __future__ import annotations

import numpy as np

from dko.models.sharing import added_up, all_at_once


def test_all_at_once_is_one_part_as_it_is():
    things = np.arange(5)
    assert list(all_at_once(lambda *given: given, things, 2)) == [(things, slice(0, 5))]


def test_parts_are_added_up_and_what_is_read_only_is_not_written_to():
    first, second = np.arange(3.0), np.ones(3)
    first.setflags(write=False)
    found = added_up(iter([(first, np.zeros(2)), (second, np.ones(2)), (second, np.ones(2))]))
    np.testing.assert_array_equal(found[0], [2, 3, 4])
    np.testing.assert_array_equal(found[1], [2, 2])
    np.testing.assert_array_equal(first, [0, 1, 2])
    alone = added_up([(second,)])
    assert alone[0] is second
