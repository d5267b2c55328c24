"""Files: fitted models, the tables of the reference implementation, reports and other pages."""

from ._model import load, save
from ._reference import read_reference, write_reference
from ._write_embedding import write_embedding
from ._write_report import write_report

__all__ = ["load", "read_reference", "save", "write_embedding", "write_reference", "write_report"]
