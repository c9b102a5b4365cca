"""The contract: what is written is read back, and what has changed is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from service import manifest
from service.errors import ManifestError
from tests import toys


@pytest.fixture
def folder(tmp_path) -> Path:
    return toys.identity(tmp_path)


def edit(folder: Path, **changes) -> None:
    path = folder / manifest.FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_what_is_written_is_read_back(folder):
    card = manifest.read(folder)
    assert card.key == "toy-identity/1"
    assert set(card.files) == {"encoder.onnx", "decoder.onnx"}
    assert card.files["encoder.onnx"] == manifest.digest(folder / "encoder.onnx")
    assert card.served_psnr("reconstruct") == 20


def test_a_folder_without_a_manifest_is_no_model(tmp_path):
    with pytest.raises(ManifestError, match=r"has no model\.json"):
        manifest.read(tmp_path)


def test_a_file_with_one_byte_changed_is_refused_by_name(folder):
    path = folder / "decoder.onnx"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ManifestError, match=r"decoder\.onnx has changed"):
        manifest.read(folder)


def test_a_missing_file_is_refused_by_name(folder):
    (folder / "encoder.onnx").unlink()
    with pytest.raises(ManifestError, match=r"encoder\.onnx is missing"):
        manifest.read(folder)


def test_a_folder_in_the_wrong_place_is_refused(folder):
    moved = folder.rename(folder.with_name("7"))
    with pytest.raises(ManifestError, match="lies in toy-identity/7"):
        manifest.read(moved)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": 2}, "format"),
        ({"abilities": ["fly"]}, "abilities"),
        ({"surprise": 1}, "surprise"),
        ({"name": "../evil"}, "name"),
        ({"files": {"encoder.onnx": "0" * 64}}, "files"),
        ({"files": {"../../secret": "0" * 64}}, "files"),
        ({"error_percentiles": [0.1, 0.0]}, "error_percentiles"),
        ({"noise_kurtosis_percentiles": []}, "noise_kurtosis_percentiles"),
        ({"noise_kurtosis_percentiles": [1.0] * 100 + [0.9]}, "must be 101 values"),
    ],
)
def test_a_manifest_that_breaks_the_contract_is_refused_and_says_where(folder, changes, says):
    edit(folder, **changes)
    with pytest.raises(ManifestError, match=says):
        manifest.read(folder)


def test_bytes_that_are_no_json_are_refused(folder):
    (folder / manifest.FILE).write_bytes(b"\xff{")
    with pytest.raises(ManifestError):
        manifest.read(folder)


@pytest.mark.parametrize("name", [manifest.FILE, "decoder.onnx"])
def test_a_pipe_in_the_place_of_a_file_keeps_nobody_waiting(folder, name):
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(ManifestError, match=name):
        manifest.read(folder)


def test_publishing_a_version_again_replaces_it_whole(folder, tmp_path):
    before = manifest.read(folder)
    toys.identity(tmp_path, add=3)
    after = manifest.read(folder)
    assert after.files["decoder.onnx"] != before.files["decoder.onnx"]
    assert [p.name for p in tmp_path.iterdir()] == ["toy-identity"]
    assert [p.name for p in folder.parent.iterdir()] == ["1"]
