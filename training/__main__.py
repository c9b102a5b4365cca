"""python -m training."""

import sys

from training.cli import main  # a module of its own: a spawned process cannot import a `__main__`

sys.exit(main())
