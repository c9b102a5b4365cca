"""R1's classifiers on the pixels themselves: what there is to lose by going through latents.

The last line of the report's last table is of an earlier assignment, of which it says no more than
the optimiser; a network on the pixels is what it can only have been.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

from training import classify
from training.classify import CLASSIFIERS, Labelled
from training.data import Dataset, Images, Split

# A1 to A3, as on the latents.
KINDS = CLASSIFIERS[:3]


def measure(dataset: Dataset, split: Split, seeds: Iterable[int]) -> dict[str, dict[str, Any]]:
    """Each classifier's accuracies on validation and test images, over the seeds."""
    learn, check = map(_flat, split(dataset))
    test = _flat(dataset.test)
    found = {}
    for kind in KINDS:
        runs = [classify.train(kind, learn, check, len(dataset.classes), seed) for seed in seeds]
        shares = {
            "validation": [valid for _, valid in runs],
            "accuracy": [classify.accuracy(net, test) for net, _ in runs],
        }
        found[kind.name] = {
            "values": {key: round(statistics.fmean(all_), 6) for key, all_ in shares.items()},
            "spread": {
                key: round(statistics.stdev(all_), 6)
                for key, all_ in shares.items() if len(all_) > 1
            },
        }  # fmt: skip
    return found


def _flat(images: Images) -> Labelled:
    return Labelled(images.batch(slice(None)).flatten(1), images.labels)
