"""Writing files so that there is never half of one."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`, and move what was written there to `path` once the block has ended well.

    Works for files and for folders (zarr). An older `path` is replaced at that moment and not before.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"The folder {str(target.parent)!r} does not exist; make it first.")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
        # The same name, because writers choose the format by its ending.
        temporary = Path(folder) / target.name
        yield temporary
        replaced = Path(folder) / "replaced"
        if target.is_dir():
            # A folder cannot be replaced in one step: put the old one back if the new one is not there after all.
            os.replace(target, replaced)
        try:
            os.replace(temporary, target)
        except BaseException:
            if replaced.exists():
                os.replace(replaced, target)
            raise
