"""The device's path: bound memory, padded batches, one thread; on the CPU where that is enough."""

from __future__ import annotations

import threading

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from service import runtime
from service.bound import Bound, Chain
from service.device_model import DeviceModel
from service.errors import DeviceError
from service.model import Model
from service.runtime import sessions
from service.settings import Settings
from tests import toys

SIZES = (1, 4, 16)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    return {
        "identity": toys.identity(models, add=3),
        "vae": toys.variational(models),
        "any-size": toys.identity(models, "toy-any", size=None, add=3),
    }


def drawn(count: int, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8)


@pytest.fixture(scope="module")
def prepared(folders):
    model = DeviceModel.open_on(folders["identity"], device="cpu")
    model.prepare(drawn(1, (12, 12, 1))[0], SIZES)
    return model, Model.open(folders["identity"])


@given(counts=st.lists(st.integers(1, 40), min_size=1, max_size=6), seed=st.integers(0, 9))
@settings(deadline=None, max_examples=30)
def test_any_number_of_images_is_padded_and_cut_to_the_same_answer_as_without_a_device(
    prepared, counts, seed
):
    model, plain = prepared
    kept = []
    for i, count in enumerate(counts):
        images = drawn(count, (12, 12, 1), seed + i)
        kept.append((model.reconstruct(images), plain.reconstruct(images)))
        kept.append((model.encode(images).latents, plain.encode(images).latents))
        kept.append((model.decode(kept[-1][0]), kept[-2][1]))
    # Only now: an answer must not be the memory that the next run writes to.
    for made, expected in kept:
        np.testing.assert_array_equal(made, expected)


def test_a_variational_models_log_variances_come_too(folders):
    model, plain = DeviceModel.open_on(folders["vae"], device="cpu"), Model.open(folders["vae"])
    image_shape = tuple(plain.encoder.get_inputs()[0].shape[1:])
    model.prepare(drawn(1, image_shape)[0], (4,))
    made, expected = (each.encode(drawn(3, image_shape)) for each in (model, plain))
    np.testing.assert_array_equal(made.latents, expected.latents)
    np.testing.assert_array_equal(made.log_variances, expected.log_variances)


def test_sizes_that_nothing_was_prepared_for_run_all_the_same(folders):
    model, plain = (
        DeviceModel.open_on(folders["any-size"], device="cpu"),
        Model.open(folders["any-size"]),
    )
    model.prepare(drawn(1, (16, 16, 1))[0], SIZES)
    for shape in [(16, 16, 1), (9, 20, 1), (33, 5, 1)]:
        images = drawn(5, shape)
        np.testing.assert_array_equal(model.reconstruct(images), plain.reconstruct(images))


class Noted(ort.InferenceSession):
    """A session that notes where its runs read and write."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.places: list[tuple[int, ...]] = []

    def run_with_iobinding(self, iobinding, run_options=None):
        super().run_with_iobinding(iobinding, run_options)
        self.places.append(tuple(value.data_ptr() for value in iobinding.get_outputs()))


def test_every_run_of_one_size_writes_to_the_same_addresses(folders):
    """A captured graph reads and writes where it did when it was captured."""
    chain = [
        Noted(folders["identity"] / f"{name}.onnx", providers=["CPUExecutionProvider"])
        for name in ("encoder", "decoder")
    ]
    bound = Bound(chain, drawn(4, (12, 12, 1)), device="cpu", graph=1)
    for seed in range(5):
        bound(drawn(4, (12, 12, 1), seed))
    for session in chain:
        assert len(set(session.places)) == 1, session.places


def test_a_chain_takes_the_smallest_size_with_room_and_more_than_the_largest_in_parts(folders):
    chain = Chain(list(sessions(folders["identity"]).values()), device="cpu")
    chain.prepare(drawn(1, (12, 12, 1))[0], SIZES, graphs=lambda: 1)
    ran = []
    for i, (size, run) in enumerate(chain._bound[next(iter(chain._bound))]):
        chain._bound[next(iter(chain._bound))][i] = (
            size,
            lambda batch, size=size, run=run: ran.append((len(batch), size)) or run(batch),
        )
    for count in (1, 2, 4, 5, 16, 35):
        chain(drawn(count, (12, 12, 1)))
    assert ran == [(1, 1), (2, 4), (4, 4), (5, 16), (16, 16), (16, 16), (16, 16), (3, 4)]


@pytest.mark.parametrize("given", ["", "0", "8,", "1;8", "1,-8", "1.5", "12345"])
def test_batch_sizes_that_are_none_are_refused_at_the_start(given):
    with pytest.raises(ValidationError, match="device_batches"):
        Settings(device_batches=given)


@pytest.mark.parametrize("tf32", [True, False])
def test_tf32_is_said_to_the_provider_whose_default_it_is(tf32):
    assert runtime.cuda_options(tf32=tf32)["use_tf32"] == str(int(tf32))


@pytest.mark.skipif(
    "CUDAExecutionProvider" in ort.get_available_providers(), reason="CUDA is there"
)
def test_cuda_that_is_not_there_is_an_error_that_says_what_to_do(folders):
    with pytest.raises(DeviceError, match=r"AUTOENCODER_DEVICE=cpu"):
        DeviceModel.open_on(folders["identity"], device="cuda")


@pytest.mark.anyio
async def test_a_device_is_asked_by_one_thread_from_its_models_loading_on(settings, monkeypatch):
    """Tried with the CPU's own sessions in the place of CUDA's: who asks is the same."""
    from service import admission
    from service.catalog import Catalog

    asked = set()

    class Watched(DeviceModel):
        def __init__(self, *args, **options):
            asked.add(threading.get_ident())
            super().__init__(*args, **options)

        def _through(self, verb, batch):
            asked.add(threading.get_ident())
            return super()._through(verb, batch)

    monkeypatch.setattr(
        admission,
        "_opened",
        lambda folder, _: Watched(**sessions(folder), device="cpu"),
    )
    catalog = Catalog(settings(device="cuda", threads=4))
    catalog.load()
    served = catalog.get("toy-identity")
    for count in (1, 3, 100):
        images = drawn(count, (12, 12, 1))
        run = await served.run("reconstruct", images)
        np.testing.assert_array_equal(run.outputs[0], images)
    await catalog.reload("toy-identity")
    await catalog.get("toy-identity").run("reconstruct", drawn(2, (12, 12, 1)))
    catalog.close()
    assert len(asked) == 1
    assert threading.get_ident() not in asked


@pytest.mark.gpu
@pytest.mark.parametrize("tf32", [False, True])
def test_on_cuda_answers_are_the_cpus_within_a_grey_level_and_the_same_every_time(tf32):
    from benchmarks import payloads

    folder = payloads.folder(payloads.COLOURS_MODEL)
    model = DeviceModel.open_on(folder, device="cuda", tf32=tf32)
    image = payloads.known_image(payloads.COLOURS_MODEL)
    model.prepare(image, (1, 8, 32))
    images = payloads.variations(image, 20)
    expected = Model.open(folder).reconstruct(images)
    made = model.reconstruct(images)
    assert np.abs(made.astype(int) - expected).max() <= (2 if tf32 else 1)
    for _ in range(3):
        np.testing.assert_array_equal(model.reconstruct(images), made)
