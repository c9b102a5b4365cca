"""Triton's own HTTP clients, unmodified, against a real server: every method but shared memory."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
import uvicorn
from tritonclient.utils import InferenceServerException

from service import images
from service.app import create_app
from service.settings import Settings
from tests import toys

RNG = np.random.default_rng(0)
GREYS = RNG.integers(0, 256, (3, 12, 12, 1), np.uint8)
FILES = np.array([images.encode_png(grey) for grey in GREYS], object)
BOTH = pytest.mark.parametrize("binary", [True, False], ids=["binary", "JSON"])


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    toys.identity(folder)
    toys.identity(folder, "toy-colour", size=None, channels=3)
    toys.variational(folder)
    toys.variational(folder, "toy-classes", classes=("dark", "bright"))
    toys.identity(folder, "toy-loads")
    return folder


@pytest.fixture(scope="module")
def address(models) -> Iterator[str]:
    """A real server in a thread, with the protocols that are served in production."""
    app = create_app(Settings(models_dir=models))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    yield f"{host}:{port}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def client(address) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(address, concurrency=4) as client:
        yield client


@pytest.fixture
async def aio(address, anyio_backend):
    async with triton_aio.InferenceServerClient(address) as client:
        yield client


def tensor(array: np.ndarray, datatype: str, name: str = "images", *, binary: bool = True):
    sent = triton.InferInput(name, list(array.shape), datatype)
    return [sent.set_data_from_numpy(array, binary_data=binary)]


def asked(name: str, binary: bool, **options):
    return [triton.InferRequestedOutput(name, binary_data=binary, **options)]


def test_health_and_metadata(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("toy-identity")
    assert client.is_model_ready("toy-vae.encoder", "1")
    assert not client.is_model_ready("toy-nothing")
    metadata = client.get_server_metadata()
    assert metadata["name"] == "autoencoder-service"
    assert {"binary_tensor_data", "statistics", "model_repository"} <= set(metadata["extensions"])


def test_a_models_metadata_and_configuration_name_its_tensors(client):
    metadata = client.get_model_metadata("toy-vae.encoder")
    assert metadata["versions"] == ["1"]
    assert metadata["inputs"][0]["shape"] == [-1, 12, 12, 1]
    assert [out["name"] for out in metadata["outputs"]] == ["latents", "log_variances"]
    assert client.get_model_metadata("toy-colour", "1")["inputs"][0]["shape"] == [-1, -1, -1, 3]
    config = client.get_model_config("toy-vae.decoder")
    assert config["input"] == [{"name": "latents", "data_type": "TYPE_FP32", "dims": [2]}]
    assert config["max_batch_size"] == 4096
    assert config["backend"] == "onnxruntime"


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


def test_statistics_count_requests_images_and_runs(client):
    def seen() -> dict:
        return client.get_inference_statistics("toy-colour.encoder", "1")["model_stats"][0]

    before = seen()
    colours = RNG.integers(0, 256, (5, 4, 4, 3), np.uint8)
    for _ in range(2):
        client.infer("toy-colour.encoder", tensor(colours, "UINT8"))
    after = seen()
    assert after["inference_count"] - before["inference_count"] == 10
    assert after["execution_count"] - before["execution_count"] == 2
    for phase in ("success", "queue", "compute_input", "compute_infer", "compute_output"):
        counts = [stats["inference_stats"][phase] for stats in (before, after)]
        assert counts[1]["count"] - counts[0]["count"] == 2, phase
        assert counts[1]["ns"] > counts[0]["ns"], phase
    assert after["last_inference"] / 1000 == pytest.approx(time.time(), abs=30)
    assert {"batch_size", "compute_input", "compute_infer", "compute_output"} == set(
        after["batch_stats"][0]
    )
    every = client.get_inference_statistics()["model_stats"]
    assert {"toy-colour", "toy-vae.encoder", "toy-classes.classifier"} <= {s["name"] for s in every}


def test_a_model_is_unloaded_and_loaded_again(client, models):
    def state() -> dict[str, str]:
        entries = client.get_model_repository_index()
        return {e["name"]: e["state"] for e in entries if e["name"].startswith("toy-loads")}

    assert state() == {"toy-loads": "READY", "toy-loads.encoder": "READY", "toy-loads.decoder": "READY"}  # fmt: skip
    client.unload_model("toy-loads")
    assert state() == {"toy-loads": "UNAVAILABLE"}
    assert not client.is_model_ready("toy-loads")
    with pytest.raises(InferenceServerException) as refusal:
        client.infer("toy-loads", tensor(GREYS, "UINT8"))
    assert refusal.value.message() == "Request for unknown model: 'toy-loads' is not found"
    assert refusal.value.status() == "404"
    client.load_model("toy-loads")
    assert client.is_model_ready("toy-loads")
    with pytest.raises(InferenceServerException, match="as it was published"):
        client.load_model("toy-loads", config=json.dumps({"backend": "python"}))
    with pytest.raises(InferenceServerException, match="unknown model"):
        client.load_model("toy-nothing")


def test_log_settings_are_read_and_changed(client):
    try:
        assert client.get_log_settings()["log_error"] is True
        assert client.update_log_settings({"log_verbose_level": 1})["log_verbose_level"] == 1
        quiet = {"log_verbose_level": 0, "log_info": False, "log_warning": False}
        assert client.update_log_settings(quiet)["log_warning"] is False
        with pytest.raises(InferenceServerException, match="log_error"):
            client.update_log_settings({"log_error": False})
        with pytest.raises(InferenceServerException, match="log_file"):
            client.update_log_settings({"log_file": "/tmp/log"})
    finally:
        import logging

        logging.getLogger("service").setLevel(logging.NOTSET)


def test_trace_settings_are_off_and_stay_so(client):
    assert client.get_trace_settings()["trace_level"] == ["OFF"]
    assert client.get_trace_settings("toy-vae")["trace_level"] == ["OFF"]
    assert client.update_trace_settings(settings={"trace_level": ["OFF"]})["trace_level"] == ["OFF"]
    cleared = client.update_trace_settings("toy-vae", settings={"trace_rate": None})
    assert cleared["trace_level"] == ["OFF"]
    with pytest.raises(InferenceServerException, match="Server-Timing"):
        client.update_trace_settings(settings={"trace_level": ["TIMESTAMPS"]})


def test_a_fault_is_the_clients_own_exception_with_our_words(client):
    with pytest.raises(InferenceServerException, match=r"Expected \[-1,12,12,1\]") as refusal:
        client.infer("toy-identity", tensor(np.zeros((1, 9, 9, 1), np.uint8), "UINT8"))
    assert refusal.value.status() == "400"


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


@pytest.mark.anyio
async def test_the_async_client_calls_everything_else(aio):
    assert await aio.is_server_live()
    assert await aio.is_server_ready()
    assert await aio.is_model_ready("toy-vae", "1")
    assert (await aio.get_server_metadata())["name"] == "autoencoder-service"
    assert (await aio.get_model_metadata("toy-vae.decoder"))["platform"] == "onnxruntime_onnx"
    assert (await aio.get_model_config("toy-vae"))["max_batch_size"] == 4096
    assert (await aio.get_inference_statistics("toy-vae"))["model_stats"]
    assert (await aio.get_inference_statistics())["model_stats"]
    await aio.unload_model("toy-loads")
    assert not await aio.is_model_ready("toy-loads")
    await aio.load_model("toy-loads")
    index = await aio.get_model_repository_index()
    assert {"name": "toy-loads", "version": "1", "state": "READY", "reason": ""} in index
    assert (await aio.get_log_settings())["log_file"] == ""
    assert (await aio.update_log_settings({}))["log_error"] is True
    assert (await aio.get_trace_settings())["trace_level"] == ["OFF"]
    assert (await aio.update_trace_settings("toy-vae", {}))["trace_level"] == ["OFF"]
    with pytest.raises(InferenceServerException, match="unknown model: 'toy-nothing' is not found"):
        await aio.get_model_metadata("toy-nothing")
