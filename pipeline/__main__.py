"""`python -m pipeline`: see `python -m pipeline --help`."""

import sys

from pipeline.cli.parser import main

if __name__ == "__main__":
    sys.exit(main())
