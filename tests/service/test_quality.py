"""Quality is scikit-image's, to 1e-6."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from service import quality

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (11, 11, 1), (17, 64, 3)])
@pytest.mark.parametrize("noise", [1, 20, 90])
def test_every_score_of_every_image_equals_scikit_images(shape, noise):
    references = RNG.integers(0, 256, (5, *shape), dtype=np.uint8)
    noisy = references + RNG.normal(0, noise, references.shape)
    images = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    scores = quality.measure(images, references)
    for i, (image, reference) in enumerate(zip(images / 255, references / 255, strict=True)):
        ssim = structural_similarity(
            image,
            reference,
            data_range=1,
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        psnr = peak_signal_noise_ratio(reference, image, data_range=1)
        mse = np.mean((image - reference) ** 2)
        assert scores.mse[i] == pytest.approx(mse, abs=1e-9)
        assert scores.psnr[i] == pytest.approx(psnr, abs=1e-6)
        assert scores.ssim[i] == pytest.approx(ssim, abs=1e-6)
        assert scores.snr[i] == pytest.approx(10 * np.log10(np.mean(reference**2) / mse), abs=1e-6)


def test_a_perfect_answer_has_the_caps_and_not_infinity():
    image = RNG.integers(0, 256, (1, 16, 16, 1), dtype=np.uint8)
    assert quality.measure(image, image).mean() == {"mse": 0, "psnr": 100, "ssim": 1, "snr": 100}


def test_a_black_reference_has_the_lowest_snr_and_not_infinity():
    black, grey = np.zeros((1, 12, 12, 1), np.uint8), np.full((1, 12, 12, 1), 99, np.uint8)
    assert quality.measure(grey, black).snr == [-100]
    assert quality.measure(black, black).snr == [100]


def test_ssim_is_undefined_where_the_window_does_not_fit():
    tiny = np.zeros((2, 10, 40, 1), np.uint8)
    assert np.isnan(quality.measure(tiny, tiny).ssim).all()


def test_a_mean_of_decibels_is_not_the_decibel_of_a_mean():
    references = np.zeros((2, 12, 12, 1))
    images = references + np.array([0.1, 0.01]).reshape(2, 1, 1, 1)
    assert quality.measure(images, references).mean()["psnr"] == pytest.approx(30)


def test_floats_and_bytes_score_the_same():
    a, b = RNG.integers(0, 256, (2, 3, 14, 15, 3), dtype=np.uint8)
    floats = quality.measure((a / 255).astype(np.float32), (b / 255).astype(np.float32))
    for ours, theirs in zip(
        vars(floats).values(), vars(quality.measure(a, b)).values(), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_many_large_images_are_scored_slice_by_slice_as_one_by_one():
    a, b = RNG.integers(0, 256, (2, 4, 600, 601, 1), dtype=np.uint8)
    together = quality.measure(a, b)
    alone = [quality.measure(x[None], y[None]).ssim[0] for x, y in zip(a, b, strict=True)]
    np.testing.assert_array_equal(together.ssim, alone)


def test_different_shapes_are_refused():
    with pytest.raises(ValueError, match="differ"):
        quality.measure(np.zeros((1, 2, 2, 1), np.uint8), np.zeros((1, 2, 3, 1), np.uint8))
