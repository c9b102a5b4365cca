"""The console script `autoencoder`.

Each half is imported when it is called: a server needs no httpx, and a client no onnxruntime.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module

from service import arguments
from service.errors import AutoencoderError

# Their flags are the settings (pydantic-settings), which cannot read a list of file names: it
# takes `a,b.png` for two and `[a].png` for JSON. The other commands are argparse's.
_SERVING = {"serve": "serve the models", "health": "ask a running service whether it is ready"}

# What may not be there, and the extra that brings it (gpu is the other one for onnxruntime).
_EXTRAS = {"httpx": "client", "rich": "client", "onnxruntime": "cpu"}


def main(given: list[str] | None = None) -> None:
    """Runs the console script."""
    given = sys.argv[1:] if given is None else given
    try:
        if given and given[0] in _SERVING:
            import_module("service.serving").run(given)
            return
        options = _parser().parse_args(given)
        status = import_module("service.client.commands").run(options)
        sys.stdout.flush()
        sys.exit(status)
    except BrokenPipeError:  # whoever read the output has seen enough, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except (AutoencoderError, OSError) as error:
        sys.exit(f"autoencoder: {error}")
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRAS:
            raise
        extra = f"pip install '.[{_EXTRAS[missing]}]' in the project's checkout"
        sys.exit(f"autoencoder: this command needs {missing}: {extra}")
    except KeyboardInterrupt:
        sys.exit(130)  # as a shell says it of a program that Ctrl-C ended


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="autoencoder", description="Serve autoencoders for images, and talk to the service."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, does in _SERVING.items():
        commands.add_parser(name, help=does, add_help=False)
    arguments.add(commands)
    return parser
