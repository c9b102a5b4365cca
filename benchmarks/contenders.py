"""The servers that are compared: how each is installed, started and asked.

The peers have environments of their own under `.benchmarks/`, made once; one that cannot be
installed on this Python is skipped, and the report says so.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version as installed
from pathlib import Path

from benchmarks import payloads
from benchmarks.load import Request
from benchmarks.payloads import COLOURS_MODEL, DIGITS_MODEL, ROOT

CACHE = ROOT / ".benchmarks"
PNG, NPY = "image/png", "application/x-npy"


@dataclass(frozen=True)
class Contender:
    """One server: `command` gets its interpreter's folder and a port."""

    name: str
    command: Callable[[Path, int], list[str]]
    requirements: tuple[str, ...] = ()
    path: str = "/denoise"
    batch_path: str | None = None
    model_in_path: bool = False
    wrap: Callable[[bytes], tuple[bytes, str]] = lambda body: (body, PNG)
    environment: Mapping[str, str] = field(default_factory=dict)
    busy: bool = False  # at rest too: measured while no other is up

    def singles(self) -> list[Request]:
        """64 different digits."""
        path = f"{self.path}?model={DIGITS_MODEL}" if self.model_in_path else self.path
        return [Request.post("single", path, *self.wrap(body)) for body in payloads.digits()]

    def batch(self, model: str) -> Request:
        """256 images as uint8 npy."""
        assert self.batch_path is not None
        path = f"{self.batch_path}?model={model}" if self.model_in_path else self.batch_path
        return Request.post("batch", path, payloads.batch(model), NPY)

    @property
    def bin(self) -> Path:
        """Where its interpreter is."""
        return CACHE / self.name / "bin" if self.requirements else Path(sys.executable).parent

    def version(self) -> str:
        """The version of what is measured."""
        if not self.requirements:
            name = {"floor": "uvicorn", "naive FastAPI": "fastapi"}.get(
                self.name, "autoencoder-service"
            )
            return f"{name} {installed(name)}"
        name = self.requirements[0].partition("[")[0]
        code = f"from importlib.metadata import version; print(version({name!r}))"
        answer = subprocess.run(
            [self.bin / "python", "-c", code], capture_output=True, text=True, check=True
        )
        return f"{name} {answer.stdout.strip()}"

    def install(self) -> str | None:
        """Makes its environment; why it could not be, if so."""
        stamp = CACHE / self.name / ".ready"
        if not self.requirements or stamp.exists():
            return None
        folder = CACHE / self.name
        print(f"installing {self.name} ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        answer = subprocess.run(
            [folder / "bin" / "pip", "install", "-q", *self.requirements],
            capture_output=True,
            text=True,
            check=False,
        )
        if answer.returncode:
            return (answer.stderr.strip().splitlines() or ["pip failed"])[-1]
        stamp.touch()
        return None


def _uvicorn(application: str) -> Callable[[Path, int], list[str]]:
    return lambda _, port: [
        *(sys.executable, "-m", "uvicorn", "--port", str(port)),
        *("--no-access-log", "--log-level", "warning", application),
    ]


def _ours(_: Path, port: int) -> list[str]:
    program = "from service.cli import main; main()"
    return [sys.executable, "-c", program, "serve", "--port", str(port), "--log-level", "warning"]


def _mlserver(bin_: Path, port: int) -> list[str]:
    folder = CACHE / "mlserver" / "settings"
    folder.mkdir(exist_ok=True)
    server: dict[str, object] = {"http_port": port, "grpc_port": port + 1, "metrics_port": port + 2}
    server |= {"parallel_workers": 0, "debug": False, "metrics_endpoint": None, "host": "127.0.0.1"}
    (folder / "settings.json").write_text(json.dumps(server))
    model = {
        "name": "digits",
        "implementation": "benchmarks.peers.mlserver_app.Runtime",
        "max_batch_size": 64,
        "max_batch_time": 0.001,
    }
    (folder / "model-settings.json").write_text(json.dumps(model))
    return [str(bin_ / "mlserver"), "start", str(folder)]


def _protocol(*shape: int) -> Callable[[bytes], tuple[bytes, str]]:
    """A PNG as the inference protocol's JSON carries it, in a tensor of that shape."""
    return lambda body: _tensor(body, shape)


def _tensor(body: bytes, shape: tuple[int, ...]) -> tuple[bytes, str]:
    tensor: dict[str, object] = {"name": "images", "shape": shape, "datatype": "BYTES"}
    tensor["data"] = [base64.b64encode(body).decode()]
    return json.dumps({"inputs": [tensor]}).encode(), "application/json"


def _in_json(body: bytes) -> tuple[bytes, str]:
    return json.dumps({"image": base64.b64encode(body).decode()}).encode(), "application/json"


def _module(name: str) -> Callable[[Path, int], list[str]]:
    return lambda bin_, port: [str(bin_ / "python"), "-m", f"benchmarks.peers.{name}", str(port)]


_ORT = ("onnxruntime", "pillow", "numpy")

FLOOR = Contender("floor", _uvicorn("benchmarks.servers.floor:app"))
OURS = Contender("ours", _ours, batch_path="/denoise", model_in_path=True)
NAIVE = Contender("naive FastAPI", _uvicorn("benchmarks.servers.naive:app"), batch_path="/raw")
PEERS = (
    Contender("litserve", _module("litserve_app"), ("litserve", *_ORT), wrap=_in_json),
    Contender(
        "bentoml",
        lambda bin_, port: [
            *(str(bin_ / "bentoml"), "serve", "benchmarks.peers.bentoml_app:Front"),
            *("--port", str(port), "--host", "127.0.0.1"),
        ],
        ("bentoml", *_ORT),
        environment={"BENTOML_DO_NOT_TRACK": "True"},
        busy=True,
    ),
    Contender("ray", _module("ray_app"), ("ray[serve]", *_ORT), busy=True),
    Contender(
        "mlserver",
        _mlserver,
        ("mlserver", *_ORT),
        path="/v2/models/digits/infer",
        wrap=_protocol(1),
    ),
    Contender(
        "triton",
        _module("triton_app"),
        ("nvidia-pytriton", *_ORT),
        path="/v2/models/digits/infer",
        wrap=_protocol(1, 1),
        # Its backend loads libpython by name, and another one than this interpreter's else.
        environment={"LD_LIBRARY_PATH": sysconfig.get_config_var("LIBDIR")},
    ),
)
MODELS = {"digits": DIGITS_MODEL, "colours": COLOURS_MODEL}
