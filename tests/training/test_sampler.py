"""The fitted mixture, as a graph, draws what the mixture would draw."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from training import sampler


@pytest.fixture(scope="module")
def latents():
    """Two clusters in three dimensions, one three times as likely and stretched."""
    rng = np.random.default_rng(0)
    stretched = rng.normal(size=(3000, 3)) @ np.array([[2, 0, 0], [1, 0.3, 0], [0, 0, 0.5]])
    other = rng.normal(size=(1000, 3)) * 0.2
    both = np.concatenate([stretched + 5, other - 5]).astype(np.float32)
    return rng.permutation(both)


@pytest.fixture(scope="module")
def session(latents, tmp_path_factory):
    path = tmp_path_factory.mktemp("sampler") / "sampler.onnx"
    mixture = sampler.fit(latents[:3000], latents[3000:])
    sampler.export(mixture, (3,), path)
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def draw(session, count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    normals = rng.standard_normal((count, 3), dtype=np.float32)
    uniforms = rng.random(count, dtype=np.float32)
    return session.run(None, {"normals": normals, "uniforms": uniforms})[0]


def test_draws_have_the_mean_the_covariance_and_the_clusters_of_the_latents(session, latents):
    drawn = draw(session, 20_000)
    np.testing.assert_allclose(drawn.mean(0), latents.mean(0), atol=0.3)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(latents.T), rtol=0.1, atol=0.3)
    assert (drawn[:, 0] < 0).mean() == pytest.approx((latents[:, 0] < 0).mean(), abs=0.03)


def test_the_same_numbers_in_give_the_same_latents_out(session):
    np.testing.assert_array_equal(draw(session, 50), draw(session, 50))


def test_every_uniform_chooses_a_component(session):
    edges = np.array([0, 0.5, np.nextafter(np.float32(1), np.float32(0))], np.float32)
    zeros = np.zeros((3, 3), np.float32)
    assert np.isfinite(session.run(None, {"normals": zeros, "uniforms": edges})[0]).all()


def test_latents_of_several_axes_keep_their_shape(latents, tmp_path):
    grids = np.repeat(latents, 2, axis=1) + np.random.default_rng(1).normal(size=(4000, 6))
    mixture = sampler.fit(grids[:500].astype(np.float32), grids[500:1000].astype(np.float32))
    sampler.export(mixture, (3, 2, 1), tmp_path / "sampler.onnx")
    session = onnxruntime.InferenceSession(
        tmp_path / "sampler.onnx", providers=["CPUExecutionProvider"]
    )
    inputs = {
        "normals": np.zeros((4, 3, 2, 1), np.float32),
        "uniforms": np.zeros(4, np.float32),
    }
    assert session.run(None, inputs)[0].shape == (4, 3, 2, 1)


def test_a_mixture_is_not_fitted_to_latents_too_many_or_of_any_size():
    assert sampler.fits((6,))
    assert not sampler.fits((8, None, None))
    assert not sampler.fits((256,))


@pytest.mark.parametrize("count", [5, 17, 39])
def test_a_few_latents_have_a_mixture_too(latents, count):
    mixture = sampler.fit(latents[:count], latents[count : count + 1])
    assert mixture.n_components <= count
