"""R1's other reading of PCA: pixels brought to deviation 1 first, as its introduction says.

The reconstructions that it shows can only come from centred images, and so does what we publish;
what standardising costs is measured here. The error is that on pixels in [0, 1], like every other.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

from torch import Tensor

from training import classify, pca
from training.classify import CLASSIFIERS, Labelled
from training.data import Dataset, Images, Split

# The first of R1's three, which is the one that its table of PCA was best with.
CLASSIFIER = CLASSIFIERS[0]


def measure(
    dataset: Dataset, split: Split, sizes: Iterable[int], seeds: Iterable[int]
) -> list[dict[str, Any]]:
    """For each number of latents the test error, and the accuracy of A1 over the seeds."""
    learn, check = split(dataset)
    parts = [(_flat(part), part.labels) for part in (learn, check, dataset.test)]
    clean_NP = parts[2][0]
    rows = []
    for size in sizes:
        components = pca.fit(learn, size, standardised=True)
        error = components.decode(components.encode(clean_NP)) - clean_NP
        training, validation, test = (
            Labelled(components.encode(flat_NP).float(), labels) for flat_NP, labels in parts
        )
        found = []
        for seed in seeds:
            net, _ = classify.train(CLASSIFIER, training, validation, len(dataset.classes), seed)
            found.append(classify.accuracy(net, test))
        rows.append({
            "latents": size,
            "values": {
                "mse": round(float(error.square().mean()), 6),
                "accuracy": round(statistics.fmean(found), 6),
            },
            "spread": {"accuracy": round(statistics.stdev(found), 6)} if found[1:] else {},
        })  # fmt: skip
    return rows


def _flat(images: Images) -> Tensor:
    return images.batch(slice(None)).flatten(1).double()
