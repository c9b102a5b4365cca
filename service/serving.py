"""`autoencoder serve` and `autoencoder health`: what an operator runs."""

from __future__ import annotations

import json
import signal
import sys
import urllib.error
import urllib.request
from importlib import import_module

from pydantic import BaseModel, Field
from pydantic_settings import BaseSettings, CliApp, CliSubCommand, SettingsConfigDict

from service.settings import Settings


class Serve(Settings):
    """Serve the models. Every flag is an environment variable too, as in AUTOENCODER_PORT."""

    def cli_cmd(self) -> None:
        # uvicorn raises the signal again once all is answered: stopped as asked is no failure.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        # Here, so that a health check every few seconds does not import a server to ask one.
        import_module("service.starting").start(Settings.model_validate(self.model_dump()))


class Health(BaseModel):
    """Ask a running service whether it is ready; the exit status says so."""

    url: str = Field("", description="default: the host and port of this environment")

    def cli_cmd(self) -> None:
        settings = Settings()
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)
        url = self.url or f"http://{host}:{settings.port}"
        try:
            with urllib.request.urlopen(f"{url}/health/ready", timeout=5) as answer:
                body = answer.read()
        except urllib.error.HTTPError as error:
            sys.exit(f"not ready: {error.read().decode(errors='replace')}")
        except OSError as error:
            sys.exit(f"no answer from {url}: {error}")
        print(f"ready: {', '.join(json.loads(body)['models'])}")


class Autoencoder(BaseSettings):
    """Serve autoencoders for images, and talk to the service."""

    model_config = SettingsConfigDict(cli_kebab_case=True, cli_prog_name="autoencoder")

    serve: CliSubCommand[Serve]
    health: CliSubCommand[Health]

    def cli_cmd(self) -> None:
        CliApp.run_subcommand(self)


def run(arguments: list[str]) -> None:
    """Runs `serve ...` or `health ...`."""
    CliApp.run(Autoencoder, cli_args=arguments)
