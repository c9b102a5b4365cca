"""A Gaussian mixture fitted to the latents, as a graph that turns random numbers into latents.

The density of the latents is estimated after training (Ghosh et al. 2020, "From variational to
deterministic autoencoders"): it lets a plain autoencoder be sampled, and mends a variational one
whose latents do not quite follow their prior.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

Floats = NDArray[np.float32]

_SIZES = (5, 10, 20, 40)
# Full covariances of more latents than this would weigh more than the networks themselves.
_MOST_LATENTS = 128


def fit(train_BD: Floats, validation_BD: Floats, *, seed: int = 0) -> GaussianMixture:
    """The mixture, of 5 to 40 components, under which the validation latents are likeliest.

    It has no more components than there are latents to learn from, of which 5 are needed.
    """
    candidates = []
    for size in (size for size in _SIZES if size <= len(train_BD)):
        mixture = GaussianMixture(size, reg_covar=1e-4, max_iter=60, random_state=seed)
        with warnings.catch_warnings():
            # Sixty rounds of EM are enough: what is left to gain is below the seeds' spread.
            warnings.simplefilter("ignore", ConvergenceWarning)
            # Beside other work BLAS threads wait for each other: minutes in place of seconds.
            with threadpool_limits(1):
                candidates.append(mixture.fit(train_BD.astype(np.float64)))
    return max(candidates, key=lambda mixture: float(mixture.score(validation_BD)))


def fits(latent_shape: tuple[int | None, ...]) -> bool:
    """Whether a mixture is worth its weight for latents of that shape."""
    return None not in latent_shape and math.prod(n or 0 for n in latent_shape) <= _MOST_LATENTS


def export(mixture: GaussianMixture, latent_shape: tuple[int, ...], path: Path) -> None:
    """Writes the mixture as `normals [B,...], uniforms [B] -> latents [B,...]`, all float32.

    `uniforms` in [0, 1) choose the component, `normals` the place within it: random numbers are
    inputs, so that a seed gives the same latents on every machine.
    """
    components, size = mixture.means_.shape
    constants = {
        # The last bound is left out: whatever exceeds all others is the last component's.
        "bounds": np.cumsum(mixture.weights_)[:-1].astype(np.float32),
        "means": mixture.means_.astype(np.float32),
        "factors": np.linalg.cholesky(mixture.covariances_).astype(np.float32),
        "one": np.array([1], np.int64),
        "column": np.array([-1, size, 1], np.int64),
        "row": np.array([-1, size], np.int64),
        "shape": np.array([-1, *latent_shape], np.int64),
    }
    nodes = [
        helper.make_node("Unsqueeze", ["uniforms", "one"], ["uniforms_B1"]),
        helper.make_node("GreaterOrEqual", ["uniforms_B1", "bounds"], ["beyond"]),
        helper.make_node("Cast", ["beyond"], ["beyond_int"], to=TensorProto.INT64),
        helper.make_node("ReduceSum", ["beyond_int", "one"], ["component"], keepdims=0),
        helper.make_node("Gather", ["means", "component"], ["mean_BD"]),
        helper.make_node("Gather", ["factors", "component"], ["factor_BDD"]),
        helper.make_node("Reshape", ["normals", "column"], ["normal_BD1"]),
        helper.make_node("MatMul", ["factor_BDD", "normal_BD1"], ["offset_BD1"]),
        helper.make_node("Reshape", ["offset_BD1", "row"], ["offset_BD"]),
        helper.make_node("Add", ["mean_BD", "offset_BD"], ["latent_BD"]),
        helper.make_node("Reshape", ["latent_BD", "shape"], ["latents"]),
    ]
    axes: list[str | int | None] = ["batch", *latent_shape]
    graph = helper.make_graph(
        nodes,
        f"mixture of {components} Gaussians",
        [
            helper.make_tensor_value_info("normals", TensorProto.FLOAT, axes),
            helper.make_tensor_value_info("uniforms", TensorProto.FLOAT, ["batch"]),
        ],
        [helper.make_tensor_value_info("latents", TensorProto.FLOAT, axes)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
