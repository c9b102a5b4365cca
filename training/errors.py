"""What can go wrong in training, each with a message that says what would have worked.

TrainingError
├── DataError     a data set is missing, damaged, too small or of mixed sizes
├── DeadRun       the network gives NaN, or one constant image whatever it is shown
└── ExportError   the exported graphs do not say what the network says
"""

from __future__ import annotations


class TrainingError(Exception):
    """The root of everything this package raises on purpose."""


class DataError(TrainingError):
    """A data set that cannot be trained on; raised before any training begins."""


class DeadRun(TrainingError):
    """A run that will not come to anything, and why."""


class ExportError(TrainingError):
    """Exported graphs that differ from the network they were made from."""
