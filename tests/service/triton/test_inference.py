"""Triton's own HTTP clients, unmodified: images, latents and files, however they are sent."""

from __future__ import annotations

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from service import images
from tests.service.triton.tensors import BOTH, FILES, GREYS, RNG, asked, tensor


@BOTH
def test_an_autoencoder_takes_and_gives_images(client, binary):
    result = client.infer(
        "toy-identity",
        tensor(GREYS, "UINT8", binary=binary),
        outputs=asked("images", binary),
        request_id="seven",
    )
    np.testing.assert_array_equal(result.as_numpy("images"), GREYS)
    response = result.get_response()
    assert (response["model_name"], response["model_version"]) == ("toy-identity", "1")
    assert response["id"] == "seven"
    assert ("data" in result.get_output("images")) is not binary


def test_without_requested_outputs_all_come_in_binary(client):
    result = client.infer("toy-vae.encoder", tensor(GREYS, "UINT8"), model_version="1")
    assert result.as_numpy("latents").dtype == np.float32
    np.testing.assert_array_equal(result.as_numpy("log_variances"), np.zeros((3, 2)))
    assert "data" not in result.get_output("latents")


@BOTH
def test_encoder_then_decoder_is_the_whole(client, binary):
    sent = tensor(GREYS, "UINT8", binary=binary)
    latents = client.infer("toy-vae.encoder", sent, outputs=asked("latents", binary))
    decoded = client.infer(
        "toy-vae.decoder",
        tensor(latents.as_numpy("latents"), "FP32", "latents", binary=binary),
        outputs=asked("images", binary),
    )
    whole = client.infer("toy-vae", sent).as_numpy("images")
    np.testing.assert_array_equal(decoded.as_numpy("images"), whole)


@BOTH
def test_a_classifier_gives_probabilities_or_its_best_classes_by_name(client, binary):
    sent = tensor(GREYS, "UINT8", binary=binary)
    outputs = asked("probabilities", binary)
    probabilities = client.infer("toy-classes.classifier", sent, outputs=outputs)
    rows = probabilities.as_numpy("probabilities")
    assert rows.shape == (3, 2)
    outputs = asked("probabilities", binary, class_count=1)
    best = client.infer("toy-classes.classifier", sent, outputs=outputs).as_numpy("probabilities")
    assert best.shape == (3, 1)
    for row, text in zip(rows, best[:, 0].astype(bytes), strict=True):
        value, index, label = text.decode().split(":")
        assert label == ("dark", "bright")[int(index)] == ("dark", "bright")[row.argmax()]
        assert float(value) == pytest.approx(row.max(), abs=1e-6)


def test_files_of_images_go_in_and_come_back(client):
    result = client.infer("toy-identity", tensor(FILES, "BYTES"), outputs=asked("images", True))
    answer = result.as_numpy("images")
    assert answer.shape == (3,)
    for file, grey in zip(answer, GREYS, strict=True):
        np.testing.assert_array_equal(images.decode(file), grey)
    column = client.infer("toy-identity", tensor(FILES[:, None], "BYTES")).as_numpy("images")
    assert column.shape == (3, 1)


def test_files_in_json_are_base64(client):
    import base64

    texts = np.array([base64.b64encode(file) for file in FILES], object)
    sent = tensor(texts, "BYTES", binary=False)
    answer = client.infer("toy-identity", sent, outputs=asked("images", False)).as_numpy("images")
    np.testing.assert_array_equal(images.decode(base64.b64decode(answer[1])), GREYS[1])


def test_files_may_become_tensors_and_tensors_files(client):
    pixels = client.infer("toy-identity", tensor(FILES, "BYTES"), parameters={"datatype": "UINT8"})
    np.testing.assert_array_equal(pixels.as_numpy("images"), GREYS)
    files = client.infer("toy-identity", tensor(GREYS, "UINT8"), parameters={"datatype": "BYTES"})
    np.testing.assert_array_equal(images.decode(files.as_numpy("images")[2]), GREYS[2])
    latents = client.infer("toy-vae.encoder", tensor(FILES, "BYTES")).as_numpy("latents")
    assert latents.shape == (3, 2)


def test_files_of_several_sizes_share_a_request_where_any_size_is_taken(client):
    pictures = [RNG.integers(0, 256, (h, w, 3), np.uint8) for h, w in ((5, 7), (30, 20), (5, 7))]
    files = np.array([images.encode_png(picture) for picture in pictures], object)
    answer = client.infer("toy-colour", tensor(files, "BYTES")).as_numpy("images")
    for file, picture in zip(answer, pictures, strict=True):
        np.testing.assert_array_equal(images.decode(file), picture)
    with pytest.raises(InferenceServerException, match="different sizes") as refusal:
        client.infer("toy-colour.encoder", tensor(files, "BYTES"))
    assert refusal.value.status() == "400"


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
@BOTH
def test_compressed_requests_are_unpacked(client, binary, algorithm):
    result = client.infer(
        "toy-identity",
        tensor(GREYS, "UINT8", binary=binary),
        request_compression_algorithm=algorithm,
        response_compression_algorithm=algorithm,
    )
    np.testing.assert_array_equal(result.as_numpy("images"), GREYS)


def test_bodies_made_apart_are_the_same(client):
    body, header_length = triton.InferenceServerClient.generate_request_body(
        tensor(GREYS, "UINT8"), outputs=asked("images", True)
    )
    result = client.infer("toy-identity", tensor(GREYS, "UINT8"))
    assert header_length
    assert body.endswith(GREYS.tobytes())
    raw = result.get_response()
    assert raw["outputs"][0]["parameters"]["binary_data_size"] == GREYS.size


def test_many_at_once_each_get_their_own(client):
    sent = [np.full((1, 12, 12, 1), i, np.uint8) for i in range(40)]
    pending = [client.async_infer("toy-identity", tensor(array, "UINT8")) for array in sent]
    for array, answer in zip(sent, pending, strict=True):
        np.testing.assert_array_equal(answer.get_result().as_numpy("images"), array)


def test_sequences_priorities_and_timeouts_may_be_sent(client):
    result = client.infer(
        "toy-identity",
        tensor(GREYS, "UINT8"),
        sequence_id=5,
        sequence_start=True,
        priority=1,
        timeout=20_000_000,
        headers={"X-Request-ID": "mine"},
        query_params={"any": "thing"},
    )
    assert result.as_numpy("images").shape == GREYS.shape


@pytest.mark.anyio
@BOTH
async def test_the_async_client_infers(aio, binary):
    result = await aio.infer(
        "toy-identity",
        tensor(GREYS, "UINT8", binary=binary),
        outputs=asked("images", binary),
        request_id="eight",
    )
    np.testing.assert_array_equal(result.as_numpy("images"), GREYS)
    assert result.get_response()["id"] == "eight"
    latents = await aio.infer("toy-vae.encoder", tensor(GREYS, "UINT8", binary=binary))
    sent = tensor(latents.as_numpy("latents"), "FP32", "latents", binary=binary)
    decoded = await aio.infer("toy-vae.decoder", sent, outputs=asked("images", binary))
    whole = await aio.infer("toy-vae", tensor(GREYS, "UINT8"))
    np.testing.assert_array_equal(decoded.as_numpy("images"), whole.as_numpy("images"))


@pytest.mark.anyio
@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
async def test_the_async_client_sends_files_and_compresses(aio, algorithm):
    result = await aio.infer(
        "toy-identity",
        tensor(FILES, "BYTES"),
        request_compression_algorithm=algorithm,
        response_compression_algorithm=algorithm,
    )
    np.testing.assert_array_equal(images.decode(result.as_numpy("images")[0]), GREYS[0])
