"""What the client's commands take on the command line."""

from __future__ import annotations

import math
import os
from argparse import ArgumentParser, ArgumentTypeError, _SubParsersAction
from pathlib import Path


def add(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Adds every command of the client."""
    denoise = _command(commands, "denoise", "noisy pictures to clean ones")
    _files(denoise)
    _model(denoise)
    denoise.add_argument(
        "--simulate",
        metavar="KIND:AMOUNT",
        help="take the files as clean, corrupt them first, and score against them: gaussian:STD "
        "(of 1) or occlusion:SIDE (pixels)",
    )
    denoise.add_argument("--seed", type=int, help="repeats the same corruption")
    denoise.add_argument(
        "--references",
        type=Path,
        metavar="FOLDER",
        help="the clean originals under the same names, to score against",
    )
    _written(denoise)

    reconstruct = _command(
        commands, "reconstruct", "pictures through the bottleneck and back, with their quality"
    )
    _files(reconstruct)
    _model(reconstruct)
    _written(reconstruct)

    encode = _command(commands, "encode", "pictures to latents")
    _files(encode)
    _model(encode)
    encode.add_argument(
        "--out",
        type=Path,
        required=True,
        help="FILE.npy: one array, rows as the files; FILE.json: with names and log-variances",
    )

    decode = _command(commands, "decode", "latents, as encode wrote them, to pictures")
    decode.add_argument("latents", type=Path, help="FILE.npy or FILE.json")
    _model(decode, fit=False)
    _sheet(decode)

    interpolate = _command(commands, "interpolate", "the way from one picture to another")
    interpolate.add_argument("first", type=Path)
    interpolate.add_argument("second", type=Path)
    _model(interpolate)
    interpolate.add_argument("--steps", type=int, default=10, help="2 to 100 (default: 10)")
    interpolate.add_argument("--path", choices=["linear", "spherical"], default="linear")
    _sheet(interpolate)

    sample = _command(commands, "sample", "new pictures from a generative model")
    _model(sample, fit=False)
    sample.add_argument("--count", type=int, default=16, help="1 to 1024 (default: 16)")
    sample.add_argument("--seed", type=int, help="repeats the same pictures")
    sample.add_argument(
        "--temperature", type=float, default=1.0, help="below 1 safer, above 1 wilder (default: 1)"
    )
    sample.add_argument("--prior", choices=["auto", "standard", "mixture"], default="auto")
    _sheet(sample)

    classify = _command(commands, "classify", "what the pictures show: file, class, probability")
    _files(classify)
    _model(classify)
    classify.add_argument(
        "--top", type=int, default=1, help="classes a file, the most probable first (default: 1)"
    )

    models = _command(commands, "models", "what is served, what it can do, and how good it is")
    models.add_argument("name", nargs="?", help="this model's whole card, as JSON")
    models.add_argument("--json", action="store_true", help="the list as JSON")


def _command(commands: _SubParsersAction[ArgumentParser], name: str, does: str) -> ArgumentParser:
    command = commands.add_parser(name, help=does, description=f"{does[0].upper()}{does[1:]}.")
    host, port = os.environ.get("AUTOENCODER_HOST"), os.environ.get("AUTOENCODER_PORT")
    here = {"0.0.0.0": "127.0.0.1", "::": "[::1]", None: "127.0.0.1"}.get(host, host)
    url = os.environ.get("AUTOENCODER_URL") or f"http://{here}:{port or 8000}"
    command.add_argument(
        "--url", default=url, help="where the service is; else AUTOENCODER_URL (now: %(default)s)"
    )
    command.add_argument(
        "--timeout", type=_seconds, default=60.0, help="seconds to wait for an answer (default: 60)"
    )
    command.set_defaults(command=name)
    return command


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < math.inf:  # and no NaN either
        raise ArgumentTypeError(f"{text} is no time to wait: give seconds, more than 0")
    return seconds


def _files(command: ArgumentParser) -> None:
    command.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="pictures, or folders of them"
    )


def _model(command: ArgumentParser, *, fit: bool = True) -> None:
    command.add_argument(
        "--model", default="auto", help="as `autoencoder models` names it (default: the best)"
    )
    command.add_argument("--version", type=int, help="of the model (default: the highest)")
    if fit:
        command.add_argument(
            "--fit",
            choices=["exact", "resize"],
            default="exact",
            help="resize: resample pictures of a wrong size (default: exact, which refuses them)",
        )


def _written(command: ArgumentParser) -> None:
    command.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder for NAME.png of every file; for a single file, a .png, .jpg or .webp too",
    )
    command.add_argument(
        "--in-place", action="store_true", help="allow --out to overwrite the files themselves"
    )
    command.add_argument(
        "--scores", type=Path, metavar="FILE.csv", help="write the quality of every file here"
    )


def _sheet(command: ArgumentParser) -> None:
    command.add_argument(
        "--out",
        type=Path,
        required=True,
        help="a sheet (.png, .jpg, .webp), an animation (.gif), an array (.npy), or a folder",
    )
