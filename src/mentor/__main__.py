"""``python -m mentor`` is the command ``mentor``."""

import sys

from mentor.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
