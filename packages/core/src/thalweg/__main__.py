"""``python -m thalweg``: the command line, for launchers that start modules."""

import sys

from thalweg.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
