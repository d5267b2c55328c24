"""What asv times from commit to commit; small, simulated, so that it needs no files.

``asv run --config benchmarks/asv.conf.json`` builds each commit; with ``--environment existing:.venv/bin/python`` it
runs what is installed there.
"""
