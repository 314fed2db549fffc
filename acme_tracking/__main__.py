"""Run the command line as ``python -m acme_tracking``."""
import sys

from acme_tracking.cli import main

sys.exit(main())
