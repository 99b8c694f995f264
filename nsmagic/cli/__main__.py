"""`python -m nsmagic.cli`: the `nsmagic` command where it is not in PATH."""

from __future__ import annotations

import sys

from nsmagic.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
