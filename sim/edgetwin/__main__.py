"""``python -m edgetwin`` is ``edgetwin``."""

import sys

from edgetwin.cli import main

if __name__ == "__main__":
    sys.exit(main())
