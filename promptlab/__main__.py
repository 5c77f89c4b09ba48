"""`python -m promptlab` is the command `promptlab`."""

import sys

from promptlab.cli import main

if __name__ == "__main__":
    sys.exit(main())
