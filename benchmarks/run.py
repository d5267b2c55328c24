"""Run one contestant in this process and print what it measured: ``python -m benchmarks.run module:function JSON``.

Imports nothing but the standard library, so that contestants can measure imports and run in environments of their own.
"""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from importlib import import_module


def main() -> None:
    module, function = sys.argv[1].split(":")
    # What libraries print is not ours.
    with redirect_stdout(sys.stderr):
        outcome = getattr(import_module(f"benchmarks.{module}"), function)(**json.loads(sys.argv[2]))
    print(json.dumps(outcome))


if __name__ == "__main__":
    main()
