"""Files: fitted models, the tables of the reference implementation, and reports."""

from ._load import load
from ._read_reference import read_reference
from ._save import save
from ._write_reference import write_reference
from ._write_report import write_report

__all__ = ["load", "read_reference", "save", "write_reference", "write_report"]
