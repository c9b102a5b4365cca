"""What is served follows the models folder, and never for the worse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from service import folders, manifest
from service.catalog import Catalog
from service.errors import NotFound
from service.settings import Settings
from tests import toys
from tests.service.test_catalog import republish

pytestmark = pytest.mark.anyio


def loaded(models: Path, **changes) -> Catalog:
    catalog = Catalog(Settings(models_dir=models, **changes))
    catalog.load()
    return catalog


def keys(catalog: Catalog) -> list[str]:
    return [served.manifest.key for served in catalog]


async def test_a_new_version_is_served_and_taken_back_by_removing_its_folder(tmp_path):
    toys.identity(tmp_path)
    catalog = loaded(tmp_path)
    gone = []
    catalog.on_gone = gone.append
    second = toys.identity(tmp_path, version=2, add=10)
    await catalog.refresh()
    assert catalog.get("toy-identity").manifest.version == 2
    shutil.rmtree(second)
    await catalog.refresh()
    assert keys(catalog) == ["toy-identity/2", "toy-identity/1"], "it may be away for a moment"
    await catalog.refresh()
    assert keys(catalog) == ["toy-identity/1"]
    assert [served.manifest.version for served in gone] == [2]


async def test_what_did_not_change_is_not_touched(tmp_path):
    toys.identity(tmp_path)
    toys.identity(tmp_path, "other")
    catalog = loaded(tmp_path)
    before = {served.manifest.key: served for served in catalog}
    toys.identity(tmp_path, "other", add=3)
    await catalog.refresh()
    assert catalog.get("toy-identity") is before["toy-identity/1"]
    assert catalog.get("other") is not before["other/1"]


async def test_a_folder_that_is_being_copied_is_not_served_and_is_once_it_is_whole(tmp_path):
    models = tmp_path / "models"
    toys.identity(models)
    whole = toys.identity(tmp_path / "elsewhere", version=2, add=10)
    catalog = loaded(models)
    half = models / "toy-identity" / "2"
    half.mkdir()
    text = (whole / manifest.FILE).read_text()
    steps = [
        (lambda: shutil.copy(whole / "encoder.onnx", half), "has no model.json"),
        (lambda: (half / manifest.FILE).write_text(text[:500]), "model.json"),
        (lambda: (half / manifest.FILE).write_text(text), "decoder.onnx is missing"),
        (lambda: (half / "decoder.onnx").write_bytes(b"half"), "decoder.onnx has changed"),
    ]
    for step, reason in steps:
        step()
        await catalog.refresh()
        assert keys(catalog) == ["toy-identity/1"]
        assert reason in catalog.refused["toy-identity/2"]
    shutil.copy(whole / "decoder.onnx", half)
    await catalog.refresh()
    assert keys(catalog) == ["toy-identity/2", "toy-identity/1"]
    assert catalog.refused == {}


async def test_a_version_that_is_clearly_worse_than_an_earlier_one_is_not_served(tmp_path):
    toys.identity(tmp_path, psnr=20)
    toys.identity(tmp_path, version=2, psnr=18.5)
    toys.identity(tmp_path, version=10, psnr=19.5)
    catalog = loaded(tmp_path)
    assert keys(catalog) == ["toy-identity/10", "toy-identity/1"]
    assert "1.50 below version 1's" in catalog.refused["toy-identity/2"]
    assert len(keys(loaded(tmp_path, max_quality_loss=2))) == 3
    shutil.rmtree(tmp_path / "toy-identity" / "1")
    for _ in range(3):
        await catalog.refresh()
    assert keys(catalog) == ["toy-identity/10", "toy-identity/2"], (
        "nothing is left to be worse than"
    )


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "decoder.onnx").write_bytes(b""),
        lambda folder: (folder / "decoder.onnx").unlink(),
        lambda folder: (folder / manifest.FILE).write_text("{"),
        lambda folder: (folder / manifest.FILE).unlink(),
        lambda folder: republish(folder, latent_shape=[7]),
    ],
    ids=["a file truncated", "a file deleted", "the manifest broken", "the manifest deleted", "a signature"],
)  # fmt: skip
async def test_what_is_spoilt_while_it_is_served_is_served_on_from_memory(tmp_path, spoil):
    folder = toys.identity(tmp_path)
    catalog = loaded(tmp_path)
    served = catalog.get("toy-identity")
    spoil(folder)
    for _ in range(3):
        await catalog.refresh()
    assert catalog.get("toy-identity") is served
    assert catalog.refused["toy-identity/1"]
    toys.identity(tmp_path, add=5)
    await catalog.refresh()
    assert catalog.get("toy-identity") is not served
    assert catalog.refused == {}


async def test_when_the_folder_is_away_everything_is_served_on(tmp_path, caplog):
    models = tmp_path / "models"
    toys.identity(models)
    toys.identity(models, "other")
    catalog = loaded(models)
    models.rename(tmp_path / "away")
    for _ in range(3):
        await catalog.refresh()
    models.mkdir()  # as when what was mounted there is gone
    for _ in range(3):
        await catalog.refresh()
    assert len(keys(catalog)) == 2
    assert len([r for r in caplog.records if "served on" in r.message]) == 2, "said once each"
    models.rmdir()
    (tmp_path / "away").rename(models)
    await catalog.refresh()
    assert len(keys(catalog)) == 2


async def test_an_unloaded_model_stays_away_though_its_folder_changes(tmp_path):
    toys.identity(tmp_path)
    toys.identity(tmp_path, "other")
    catalog = loaded(tmp_path)
    await catalog.unload("toy-identity")
    toys.identity(tmp_path, version=2)
    await catalog.refresh()
    assert keys(catalog) == ["other/1"]
    await catalog.reload("toy-identity")
    assert keys(catalog) == ["other/1", "toy-identity/2", "toy-identity/1"]
    with pytest.raises(NotFound):
        await catalog.unload("nothing")


def test_the_state_of_a_folder_tells_a_file_that_was_replaced_at_the_same_size_and_time(tmp_path):
    folder = toys.identity(tmp_path)
    before = folders.state(folder)
    assert folders.state(folder) == before
    path = folder / manifest.FILE
    stat = path.stat()
    text = json.dumps(json.loads(path.read_text())).ljust(stat.st_size)[: stat.st_size]
    path.write_text(text)
    import os

    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    assert folders.state(folder) != before
    assert folders.state(tmp_path / "nothing") == ()
