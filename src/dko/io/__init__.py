"""Files: fitted models, and the tables of the reference implementation."""

from ._load import load
from ._read_reference import read_reference
from ._save import save
from ._write_reference import write_reference

__all__ = ["load", "read_reference", "save", "write_reference"]
