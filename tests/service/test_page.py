"""The playground's files: found, cached, and allowed nothing from elsewhere."""

from __future__ import annotations

import re

import pytest

from service.routes.page import FOLDER

pytestmark = pytest.mark.anyio

FILES = sorted(path for path in FOLDER.rglob("*") if path.is_file())
INDEX = (FOLDER / "index.html").read_text(encoding="utf-8")


async def test_the_page_is_at_the_root_and_may_load_nothing_from_elsewhere(client):
    answer = await client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(
        part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; ")
    )
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in str(policy)
    assert (await client.head("/")).status_code == 200


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
async def test_every_file_is_served_with_its_type_and_sent_once(client, path):
    address = f"/page/{path.relative_to(FOLDER).as_posix()}"
    answer = await client.get(address)
    assert answer.content == path.read_bytes()
    kinds = {".js": "text/javascript", ".css": "text/css", ".png": "image/png", ".svg": "image/svg+xml",
             ".json": "application/json", ".html": "text/html"}  # fmt: skip
    assert answer.headers["content-type"].startswith(kinds[path.suffix])
    assert answer.headers["x-content-type-options"] == "nosniff"
    again = await client.get(address, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path", ["nothing.js", "../app.py", "..%2fapp.py", "images", "", "main.js/"]
)
async def test_there_is_nothing_else(client, path):
    answer = await client.get(f"/page/{path}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_every_module_is_asked_for_at_once():
    modules = {path.name for path in FILES if path.suffix == ".js"}
    assert set(re.findall(r'(?:href|src)="page/(\w+\.js)"', INDEX)) == modules


@pytest.mark.parametrize(
    "path", [p for p in FILES if p.suffix in (".js", ".css", ".html", ".svg")], ids=lambda p: p.name
)
def test_no_file_names_another_host_or_grows_two_subjects(path):
    text = path.read_text(encoding="utf-8")
    addresses = set(re.findall(r"https?://[^\s\"'`]+", text)) - {"http://www.w3.org/2000/svg"}
    assert not addresses
    assert len(text.splitlines()) <= 320
    assert "style=" not in text
    assert "innerHTML" not in text


def test_the_shipped_pictures_are_those_of_the_list():
    import json

    listed = json.loads((FOLDER / "images" / "list.json").read_text())
    assert {f"{entry['name']}.png" for entry in listed} == {
        p.name for p in FILES if p.suffix == ".png"
    }
    assert len(listed) >= 36
