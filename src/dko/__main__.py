"""The command line as ``python -m dko``."""

from __future__ import annotations

import sys

from .cli import main

sys.exit(main())
