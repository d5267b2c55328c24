"""Measurements that the documentation quotes; run with ``python -m benchmarks``.

A *case* lets *contestants* do the same work, each in a fresh process, and states *claims* about the outcome, most of
them ratios against a named alternative measured in the same run. ``cases`` is the table of all cases.
"""
