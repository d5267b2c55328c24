"""How well predicted knockouts agree with true and with measured ones: ``python -m benchmarks.accuracy --help``."""
