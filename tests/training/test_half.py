"""Models in float16: the service takes them, their answers hardly differ, and if they do it shows."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from service import manifest
from service.admission import admit
from service.settings import Settings
from training import data, half
from training.errors import ExportError

MODELS = data.CHECKOUT / "models"
NAME = "mnist-mlp-8"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    to = tmp_path_factory.mktemp("half")
    assert half.main([str(to), NAME]) == 0
    return to / NAME / "1"


def test_the_service_admits_it_and_its_answers_are_those_of_float32_to_two_grey_levels(made):
    card, model, golden = admit(made, Settings())
    _, whole, _ = admit(MODELS / NAME / "1", Settings())
    assert "float16" in card.summary
    images = np.stack([np.roll(golden.image, i, 1) for i in range(-4, 5)])
    latents, expected = (each.encode(images).latents for each in (model, whole))
    assert latents.dtype == np.float32
    assert not np.array_equal(latents, expected), "it would be float32 still"
    np.testing.assert_allclose(latents, expected, atol=0.005 * np.abs(expected).max())
    answers = (each.reconstruct(images).astype(int) for each in (model, whole))
    assert np.abs(np.subtract(*answers)).max() <= golden.tolerance


def test_its_products_are_computed_in_float16(made):
    graph = onnx.shape_inference.infer_shapes(onnx.load(made / "encoder.onnx")).graph
    types = {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
    products = [node for node in graph.node if node.op_type in ("MatMul", "Gemm")]
    assert products
    assert {types[node.output[0]] for node in products} == {onnx.TensorProto.FLOAT16}


def test_one_whose_golden_answer_no_longer_holds_is_not_published(tmp_path, monkeypatch):
    def wrong(folder, to):
        for name in half.GRAPHS:
            graph = onnx.load(folder / name)
            for weight in graph.graph.initializer:
                values = onnx.numpy_helper.to_array(weight)
                if values.dtype.kind == "f" and values.ndim:
                    weight.CopyFrom(onnx.numpy_helper.from_array(values * 0, weight.name))
            onnx.save(graph, to / name)

    monkeypatch.setattr(half, "halved", wrong)
    with pytest.raises(ExportError, match="serve it in float32"):
        half.publish(MODELS / NAME / "1", tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_models_in_float32_are_not_overwritten(capsys):
    before = manifest.read(MODELS / NAME / "1")
    with pytest.raises(SystemExit):
        half.main([str(MODELS), NAME])
    assert "another folder" in capsys.readouterr().err
    assert manifest.read(MODELS / NAME / "1") == before
