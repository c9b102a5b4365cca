"""GET /models/NAME/map and what it holds."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from service.latent_map import LatentMap, Table

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("bits", [8, 16])
async def test_numbers_come_back_within_half_a_step_of_their_column(bits):
    rng = np.random.default_rng(0)
    numbers = rng.normal(0, [0.01, 1, 1000], (500, 3)).astype(np.float32)
    found = Table.of(numbers, bits).numbers()
    step = np.ptp(numbers, axis=0) / (2**bits - 1)
    assert (np.abs(found - numbers).max(0) <= step * 0.51 + 1e-5 * np.abs(numbers).max(0)).all()
    assert np.abs(found - numbers).max() > 0, "quantised indeed"


async def test_a_column_that_never_changes_comes_back_as_it_is():
    numbers = np.array([[1.5, 0], [1.5, 7]], np.float32)
    np.testing.assert_allclose(Table.of(numbers, 8).numbers(), numbers)


async def test_the_map_of_a_model_has_a_class_for_every_point(zoo):
    answer = await zoo.get("/models/toy-mixture/map")
    assert answer.headers["content-type"] == "application/json"
    drawn = LatentMap.model_validate_json(answer.content)
    np.testing.assert_allclose(drawn.latents.numbers(), [[-50, -50], [50, 50]])
    assert drawn.classes == ("dark", "bright")


async def test_who_has_the_map_is_not_sent_it_again(zoo):
    answer = await zoo.get("/models/toy-mixture/map")
    etag = answer.headers["etag"]
    digest = (await zoo.get("/models/toy-mixture")).json()["manifest"]["files"]["map.json"]
    assert digest in etag
    for sent in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = await zoo.get("/models/toy-mixture/map", headers={"If-None-Match": sent})
        assert (again.status_code, again.content) == (304, b""), sent
        assert again.headers["etag"] == etag
    other = await zoo.get("/models/toy-mixture/map", headers={"If-None-Match": '"other"'})
    assert other.content == answer.content


async def test_a_model_without_a_map_says_so(zoo):
    answer = await zoo.get("/models/toy-vae/map")
    assert answer.status_code == 404
    assert "map" in answer.json()["detail"]
    assert (await zoo.get("/models/nobody/map")).status_code == 404


async def test_a_map_needs_classes_to_colour_by():
    with pytest.raises(ValidationError, match="classes"):
        LatentMap(classes=("one",), labels="", latents=Table.of(np.zeros((1, 2)), 8),
                  components=None, tsne={})  # fmt: skip
