"""python -m xentc: the same as the command xentc."""

import sys

from xentc.cli import main

if __name__ == "__main__":
    sys.exit(main())
