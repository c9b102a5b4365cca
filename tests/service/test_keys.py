"""API keys: who may call, what for, how often, and what a slip in their file does."""

from __future__ import annotations

import hashlib
import os
import time

import pytest

from service.client import AsyncClient
from service.errors import KeysError
from service.keys import Bucket, Keys
from tests.conftest import running
from tests.service.test_errors import GOOD, PNG

pytestmark = pytest.mark.anyio


def entry(name: str, key: str, more: str = "") -> str:
    return f'[{name}]\nsha256 = "{hashlib.sha256(key.encode()).hexdigest()}"\n{more}\n'


@pytest.fixture
def keys_file(tmp_path):
    path = tmp_path / "keys.toml"
    path.write_text(
        entry("alice", "k-alice")
        + entry("ops", "k-ops", 'scopes = ["admin", "metrics"]')
        + entry("slow", "k-slow", "rate = 0.1\nburst = 2")
    )
    return path


@pytest.fixture
async def guarded(settings, keys_file):
    async with running(settings(keys_file=keys_file)) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize(
    "sent", [{}, bearer("wrong"), bearer(""), {"Authorization": "Basic k-alice"}, {"X-API-Key": "K-ALICE"}]
)  # fmt: skip
async def test_without_a_known_key_it_is_401_and_says_how_to_send_one(guarded, sent):
    for answer in (
        await guarded.post("/denoise", content=GOOD, headers={**PNG, **sent}),
        await guarded.get("/models", headers=sent),
        await guarded.get("/metrics", headers=sent),
        await guarded.get("/nowhere", headers=sent),
    ):
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert "Bearer KEY" in answer.json()["detail"]
    answer = await guarded.post("/v2/models/toy-identity/infer", content=b"{}", headers=sent)
    assert answer.status_code == 401
    assert answer.json().keys() == {"error"}


@pytest.mark.parametrize("sent", [bearer("k-alice"), {"X-API-Key": "k-alice"}])
async def test_a_known_key_is_let_in(guarded, sent):
    answer = await guarded.post("/denoise", content=GOOD, headers={**PNG, **sent})
    assert answer.status_code == 200


async def test_probes_and_pages_need_no_key(guarded):
    for path in ("/health/live", "/health/ready", "/v2/health/ready", "/docs", "/openapi.json"):
        assert (await guarded.get(path)).status_code == 200, path


@pytest.mark.parametrize(
    ("method", "path", "key", "status"),
    [
        ("POST", "/v2/repository/models/toy-identity/load", "k-alice", 403),
        ("POST", "/v2/repository/models/toy-identity/load", "k-ops", 200),
        ("POST", "/v2/logging", "k-alice", 403),
        ("POST", "/v2/repository/index", "k-alice", 200),
        ("GET", "/metrics", "k-alice", 403),
        ("GET", "/metrics", "k-ops", 200),
        ("GET", "/models", "k-ops", 403),
    ],
)
async def test_a_key_may_what_its_scopes_say(guarded, method, path, key, status):
    answer = await guarded.request(method, path, headers=bearer(key))
    assert answer.status_code == status, answer.text
    if status == 403:
        text = answer.json().get("detail") or answer.json()["error"]
        assert "needs one with the scope" in text


async def test_more_than_a_keys_rate_is_429_and_says_when_to_come_back(guarded):
    statuses = [(await guarded.get("/models", headers=bearer("k-slow"))).status_code for _ in "123"]
    assert statuses == [200, 200, 429]
    answer = await guarded.get("/models", headers=bearer("k-slow"))
    assert 9 <= int(answer.headers["Retry-After"]) <= 10
    assert answer.json()["reason"] == "rate"
    assert (await guarded.get("/models", headers=bearer("k-alice"))).status_code == 200


def test_tokens_come_back_at_the_rate():
    bucket = Bucket(rate=50, burst=1)
    assert bucket.take() == 0
    assert 0 < bucket.take() <= 0.02
    time.sleep(0.03)
    assert bucket.take() == 0


async def test_keys_are_swapped_while_serving_and_a_slip_changes_nothing(
    guarded, keys_file, monkeypatch, caplog
):
    monkeypatch.setattr("service.keys._LOOK", 0.0)

    async def status(key: str) -> int:
        return (await guarded.get("/models", headers=bearer(key))).status_code

    assert [await status(key) for key in ("k-alice", "k-bob")] == [200, 401]
    fresh = keys_file.with_suffix(".new")
    fresh.write_text(entry("bob", "k-bob"))
    os.replace(fresh, keys_file)  # noqa: PTH105
    assert [await status(key) for key in ("k-alice", "k-bob")] == [401, 200]
    keys_file.write_text("[bob")
    assert [await status(key) for key in ("k-alice", "k-bob")] == [401, 200]
    assert "the keys stay as they were" in caplog.text
    keys_file.unlink()
    assert await status("k-bob") == 200, "a file that is gone locks nobody out, and lets nobody in"
    assert await status("k-alice") == 401


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[a", "not TOML"),
        ('[a]\nsha256 = "abc"', "a.sha256"),
        ("[a]\nrate = 1", "a.sha256"),
        (entry("a", "k", "rate = 0"), "a.rate"),
        (entry("a", "k", 'scopes = ["root"]'), "a.scopes"),
        (entry("a", "k", "speed = 1"), "a.speed"),
    ],
)
def test_a_file_that_cannot_be_used_stops_the_start_and_says_where(tmp_path, text, says):
    path = tmp_path / "keys.toml"
    path.write_text(text)
    with pytest.raises(KeysError, match=says):
        Keys(path)
    with pytest.raises(KeysError, match="cannot be read"):
        Keys(tmp_path / "none.toml")


async def test_the_client_sends_the_key_of_the_environment(guarded, monkeypatch):
    monkeypatch.setenv("AUTOENCODER_API_KEY", "k-alice")
    async with AsyncClient("http://test", transport=guarded._transport) as client:
        assert await client.models()


async def test_a_page_of_another_origin_may_call_only_where_the_setting_says_so(settings, client):
    asks = {"Origin": "https://lab.example", "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in (await client.get("/models", headers=asks)).headers
    async with running(settings(cors_origins="https://lab.example, http://b.example")) as open_to:
        answer = await open_to.options("/denoise", headers=asks)
        assert answer.headers["Access-Control-Allow-Origin"] == "https://lab.example"
        other = await open_to.get("/models", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


async def test_pages_cannot_be_framed_and_nothing_is_guessed_about_types(client):
    page = await client.get("/docs")
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["X-Frame-Options"] == "DENY"
    answer = await client.get("/models")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Content-Security-Policy" not in answer.headers
