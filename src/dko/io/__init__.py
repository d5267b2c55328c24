"""Files: fitted models, the tables of the reference implementation, and reports."""

from ._model import load, save
from ._reference import read_reference, write_reference
from ._write_report import write_report

__all__ = ["load", "read_reference", "save", "write_reference", "write_report"]
