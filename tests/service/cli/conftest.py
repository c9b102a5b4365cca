"""A real server of toys, and the commands of `autoencoder` called on it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service import images
from service.app import create_app
from service.cli import main
from service.settings import Settings
from tests import toys
from tests.listening import listening
from tests.service.cli.pictures import GREYS


class Counting:
    """The application, and the most requests that it ever had at the same time."""

    def __init__(self, app) -> None:
        self.app, self.now, self.most, self.all = app, 0, 0, 0

    async def __call__(self, scope, receive, send) -> None:
        counted = scope["type"] == "http"
        self.now += counted
        self.all += counted
        self.most = max(self.most, self.now)
        try:
            await self.app(scope, receive, send)
        finally:
            self.now -= counted


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[tuple[str, Counting]]:
    models = tmp_path_factory.mktemp("models")
    toys.identity(models)
    toys.identity(models, "toy-28", size=28)
    toys.identity(models, "toy-colour", size=None, channels=3)
    toys.variational(models)
    toys.variational(models, "toy-mixture", prior=False, mixture=True, classes=("dark", "bright"))
    app = Counting(create_app(Settings(models_dir=models)))
    with listening(app) as url:
        yield url, app


@pytest.fixture
def run(server, monkeypatch, tmp_path, capsys) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in an empty folder that has `noisy/0.png` to `noisy/5.png`."""
    monkeypatch.setenv("AUTOENCODER_URL", server[0])
    monkeypatch.chdir(tmp_path)
    Path("noisy").mkdir()
    for i, grey in enumerate(GREYS):
        Path(f"noisy/{i}.png").write_bytes(images.encode_png(grey))

    def command(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(map(str, arguments)))
        status = ended.value.code
        if isinstance(status, str):  # Python prints it, and exits with 1
            print(status, file=sys.stderr)
            status = 1
        out, err = capsys.readouterr()
        return status or 0, out, err

    return command
