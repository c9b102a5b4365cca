"""Triton's own HTTP clients, unmodified: health, metadata, statistics, loading, settings, faults."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from tests.service.triton.tensors import GREYS, RNG, tensor


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
