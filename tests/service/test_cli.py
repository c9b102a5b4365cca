"""The commands of `autoencoder`, against a real server, on folders of pictures."""

from __future__ import annotations

import csv
import json
import os
import pty
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service import images
from service.app import create_app
from service.cli import main
from service.settings import Settings
from tests import toys
from tests.listening import listening

RNG = np.random.default_rng(0)
GREYS = RNG.integers(0, 256, (6, 12, 12, 1), np.uint8)
MNIST = Path(__file__).resolve().parents[3] / "shared/data/MNIST/raw/t10k-images-idx3-ubyte"
AUTOENCODER = [sys.executable, "-m", "service.client"]


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


def read(path: Path | str) -> np.ndarray:
    return images.decode(Path(path).read_bytes())


def thousand() -> np.ndarray:
    """1,000 pictures of 28x28: handwritten digits where there are some, else noise."""
    if MNIST.is_file():
        return np.frombuffer(MNIST.read_bytes()[16:], np.uint8).reshape(-1, 28, 28)[:1000]
    return RNG.integers(0, 256, (1000, 28, 28), np.uint8)


def test_a_thousand_pictures_go_in_one_go_and_a_corrupt_one_harms_no_other(server, tmp_path):
    url, app = server
    pictures = thousand()
    (tmp_path / "noisy").mkdir()
    for i, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / f"noisy/{i:04d}.png")
    corrupt = tmp_path / "noisy/0500.png"
    corrupt.write_bytes(corrupt.read_bytes()[:-20])  # its header is good, so it goes in a group
    app.most = app.all = 0
    # A terminal of its own for stderr, as a person has: it shows how far it is.
    terminal, theirs = pty.openpty()
    shown: list[bytes] = []
    watching = threading.Thread(target=lambda: shown.extend(iter(lambda: _read(terminal), b"")))
    process = subprocess.Popen(
        [*AUTOENCODER, "denoise", "noisy", "--model", "toy-28", "--out", "clean"],
        cwd=tmp_path,
        env={**os.environ, "AUTOENCODER_URL": url, "TERM": "xterm", "PYTHONPATH": str(Path.cwd())},
        stderr=theirs,
    )
    os.close(theirs)
    watching.start()
    assert process.wait(120) == 1
    watching.join(10)
    os.close(terminal)
    said = b"".join(shown).decode()
    assert "1000/1000" in said
    assert "0500.png: the image is truncated" in said
    assert "999 of 1000 images" in said
    assert "1 failed" in said
    made = sorted((tmp_path / "clean").iterdir())
    assert [path.name for path in made] == [f"{i:04d}.png" for i in range(1000) if i != 500]
    for path in made:
        np.testing.assert_array_equal(read(path)[:, :, 0], pictures[int(path.stem)])
    assert 1 < app.most <= 4, "several requests at a time, but not all"
    assert app.all < 100, "many files a request"


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other end is closed
        return b""


def test_pictures_of_several_sizes_each_find_the_model_that_takes_them(run):
    colour = RNG.integers(0, 256, (20, 30, 3), np.uint8)
    Image.fromarray(colour).save("noisy/3a.png")
    Image.fromarray(colour).save("noisy/photo.bmp")
    status, _, err = run("denoise", "noisy", "--out", "clean")
    assert status == 0, err
    np.testing.assert_array_equal(read("clean/photo.png"), colour)
    np.testing.assert_array_equal(read("clean/3a.png"), colour)
    np.testing.assert_array_equal(read("clean/4.png"), GREYS[4])
    assert "8 of 8 images" in err
    assert "by toy-colour/1 and toy-identity/1" in err


def test_names_with_commas_and_brackets_are_names(run):
    names = ["a,b.png", "[c].png", "{d}.png", '"e.png', " f.png"]
    for name in names:
        Path(name).write_bytes(images.encode_png(GREYS[0]))
    status, _, err = run("denoise", *names, "--out", "clean")
    assert status == 0, err
    assert sorted(p.name for p in Path("clean").iterdir()) == sorted(names)


def test_what_is_wrong_with_a_file_is_told_with_its_name_and_the_rest_is_done(run):
    Path("noisy/2.png").write_bytes(b"no picture")
    status, out, err = run("denoise", "noisy", "missing.png", "--out", "clean")
    assert status == 1
    assert out == ""
    assert "noisy/2.png: these 10 bytes are no image" in err
    assert "missing.png is no file" in err
    assert "5 of 7 images" in err
    assert "2 failed" in err


def test_links_in_a_circle_are_one_bad_file_among_the_rest(run):
    Path("noisy/loop.png").symlink_to("loop.png")
    status, _, err = run("denoise", "noisy", "--out", "clean")
    assert status == 1
    assert "noisy/loop.png" in err
    assert "6 of 7 images" in err


def test_a_folder_without_pictures_is_one_bad_argument_among_the_rest(run):
    Path("empty").mkdir()
    status, _, err = run("denoise", "empty", "noisy", "--out", "clean")
    assert status == 1
    assert "empty is a folder" in err
    assert "6 of 7 images" in err
    assert len(list(Path("clean").iterdir())) == 6


@pytest.mark.parametrize("seconds", ["-1", "0", "nan", "inf", "soon"])
def test_a_timeout_is_a_time(run, seconds):
    status, _, err = run("models", "--timeout", seconds)
    assert status == 2
    assert "--timeout" in err


def test_of_many_faults_the_first_twenty_are_told(run):
    Path("bad").mkdir()
    for i in range(30):
        Path(f"bad/{i}.png").write_bytes(b"no picture")
    status, _, err = run("denoise", "bad", "--out", "clean")
    assert status == 1
    assert err.count("no image") == 20
    assert "10 more" in err


def test_references_score_every_file_and_a_table_has_the_scores(run):
    status, _, err = run(
        "denoise", "noisy", "--references", "noisy", "--out", "clean", "--scores", "s.csv"
    )
    assert status == 0, err
    assert "PSNR 100.00 -> 100.00 dB" in err
    with Path("s.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [f"noisy/{i}.png" for i in range(6)]
    assert {row["psnr_before"] for row in rows} == {"100.0"}


def test_simulate_makes_noise_that_the_seed_repeats_whatever_lies_beside_the_file(run):
    options = ["--simulate", "gaussian:0.2", "--seed", "1", "--model", "toy-identity"]
    assert run("denoise", "noisy", "--out", "all", *options)[0] == 0
    assert run("denoise", "noisy/0.png", "--out", "one.png", *options)[0] == 0
    np.testing.assert_array_equal(read("all/0.png"), read("one.png"))
    assert (read("all/0.png") != GREYS[0]).any()


def test_reconstruct_tells_how_unusual_each_picture_is(run):
    assert run("reconstruct", "noisy", "--out", "made", "--scores", "s.csv")[0] == 0
    with Path("s.csv").open(newline="") as file:
        assert {row["anomaly_percentile"] for row in csv.DictReader(file)} == {"0.0"}
    np.testing.assert_array_equal(read("made/5.png"), GREYS[5])


@pytest.mark.parametrize("ending", ["npy", "json"])
def test_encode_and_decode_are_reconstruct(run, ending):
    model = ["--model", "toy-vae"] if ending == "npy" else []  # JSON names it
    assert run("encode", "noisy", "--model", "toy-vae", "--out", f"l.{ending}")[0] == 0
    status, _, err = run("decode", f"l.{ending}", *model, "--out", "made")
    assert status == 0, err
    assert run("reconstruct", "noisy", "--model", "toy-vae", "--out", "direct")[0] == 0
    for i in range(6):
        np.testing.assert_array_equal(read(f"made/{i:04d}.png"), read(f"direct/{i}.png"))


def test_encoded_json_has_names_and_log_variances_and_only_what_was_read(run):
    Path("noisy/2.png").write_bytes(b"no picture")
    assert run("encode", "noisy", "--model", "toy-vae", "--out", "l.json")[0] == 1
    document = json.loads(Path("l.json").read_text())
    assert document["model"] == {"name": "toy-vae", "version": 1}
    assert document["files"] == [f"noisy/{i}.png" for i in (0, 1, 3, 4, 5)]
    assert len(document["latents"]) == len(document["log_variances"]) == 5
    status, _, err = run("encode", "noisy", "--model", "toy-vae", "--out", "l.npy")
    assert status == 1
    assert "rows for the files that were read" in err
    assert np.load("l.npy").shape == (5, 2)


def test_interpolate_writes_a_gif_a_strip_or_a_folder(run):
    ends = ["noisy/0.png", "noisy/1.png"]
    assert run("interpolate", *ends, "--out", "walk.gif", "--steps", 7)[0] == 0
    with Image.open("walk.gif") as walk:
        assert walk.n_frames == 7
    run("interpolate", *ends, "--out", "strip.png", "--steps", 4, "--path", "spherical")
    assert read("strip.png").shape[:2] == (12, 4 * 14 - 2)
    run("interpolate", *ends, "--out", "frames", "--steps", 3, "--model", "toy-identity")
    np.testing.assert_array_equal(read("frames/0002.png"), GREYS[1])


def test_sample_writes_a_grid_and_names_the_seed_that_repeats_it(run):
    status, _, err = run("sample", "--count", 16, "--model", "toy-mixture", "--out", "grid.png")
    assert status == 0, err
    seed = err.split("--seed ")[1].split()[0]
    run("sample", "--count", 16, "--model", "toy-mixture", "--out", "again.png", "--seed", seed)
    assert Path("grid.png").read_bytes() == Path("again.png").read_bytes()
    assert read("grid.png").shape[:2] == (4 * 14 - 2, 4 * 14 - 2)


def test_classify_prints_a_line_a_file_for_other_programs(run):
    Path("noisy/2.png").write_bytes(images.encode_png(np.full((12, 12, 1), 130, np.uint8)))
    status, out, err = run("classify", "noisy/2.png", "noisy/0.png")
    assert status == 0, err
    assert out.splitlines()[0] == "noisy/2.png\tbright\t1.0000"
    _, out, _ = run("classify", "noisy/2.png", "--top", 2, "--model", "toy-mixture/1")
    assert [line.split("\t")[1] for line in out.splitlines()] == ["bright", "dark"]


def test_models_is_a_table_or_json_or_one_card(run):
    _, out, _ = run("models")
    assert "toy-identity/1" in out
    assert "20.00 dB" in out
    assert max(map(len, out.splitlines())) > 80, "a pipe is as wide as it needs to be"
    served = json.loads(run("models", "--json")[1])
    assert served["ranking"]["classify"] == ["toy-mixture"]
    assert json.loads(run("models", "toy-vae")[1])["latent_shape"] == [2]
    status, _, err = run("models", "toy-va")
    assert status == 1
    assert "did you mean toy-vae" in err


def test_the_files_that_are_read_are_overwritten_only_if_that_is_said(run):
    status, _, err = run("denoise", "noisy", "--out", "noisy")
    assert status == 1
    assert "--in-place" in err
    before = Path("noisy/0.png").stat().st_mtime_ns
    assert run("denoise", "noisy", "--out", "noisy", "--in-place")[0] == 0
    assert Path("noisy/0.png").stat().st_mtime_ns > before


def test_what_cannot_be_meant_is_refused_before_anything_is_done(run, server):
    app = server[1]
    app.all = 0
    Path("empty").mkdir()
    Path("other").mkdir()
    Path("other/0.png").write_bytes(images.encode_png(GREYS[0]))
    Path("l.json").write_text("[]")
    for arguments, says in {
        ("denoise", "noisy", "--out", "a.png"): "folder",
        ("denoise", "noisy/0.png", "--out", "a.bmp"): "a.bmp is not written: give --out a folder",
        ("denoise", "noisy", "--out", "clean", "--scores", "s.csv"): "--references",
        ("denoise", "empty", "--out", "clean"): "no picture lies in empty",
        ("denoise", "noisy", "other", "--out", "clean"): "both become",
        ("denoise", "noisy", "--out", "c", "--references", "noisy", "--simulate", "gaussian:1"): "clean",
        ("encode", "noisy", "--out", "l.txt"): ".npy",
        ("sample", "--out", "grid.tga"): ".gif",
        ("decode", "l.json", "--out", "d"): "not what `autoencoder encode` writes",
    }.items():  # fmt: skip
        status, _, err = run(*arguments)
        assert status == 1
        assert says in err
    assert app.all == 0


def test_a_fault_of_all_files_ends_the_run_with_one_line(run, monkeypatch):
    status, _, err = run("denoise", "noisy", "--out", "clean", "--model", "toy-identit")
    assert status == 1
    assert "did you mean toy-identity" in err
    assert len(err.splitlines()) == 1
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{sock.getsockname()[1]}"
    status, _, err = run("denoise", "noisy", "--out", "clean", "--url", nobody)
    assert status == 1
    assert nobody in err
    assert len(err.splitlines()) == 1


def test_help_lists_every_command_and_a_wrong_flag_is_status_two(run):
    _, out, _ = run("--help")
    for command in ("serve", "health", "denoise", "reconstruct", "encode", "decode"):
        assert f"\n    {command}" in out
    for command in ("interpolate", "sample", "classify", "models"):
        assert f"\n    {command}" in out
        assert "AUTOENCODER_URL" in run(command, "--help")[1]
    assert "AUTOENCODER_PORT" in run("serve", "--help")[1]
    assert run("denoise", "noisy")[0] == 2


def test_a_command_whose_libraries_are_not_there_says_what_to_install():
    code = "import sys; sys.modules['{}'] = None; from service.cli import main; main(['{}'])"
    for missing, command, extra in [
        ("httpx", "models", "client"),
        ("rich", "models", "client"),
        ("onnxruntime", "serve", "cpu"),
    ]:
        outcome = subprocess.run(
            [sys.executable, "-c", code.format(missing, command)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert outcome.returncode == 1
        assert f"pip install '.[{extra}]' in the project's checkout" in outcome.stderr
        assert "Traceback" not in outcome.stderr


def test_a_reader_that_has_seen_enough_ends_it_quietly(server):
    command = f"{sys.executable} -m service.client models --json --url {server[0]} | true"
    for _ in range(3):
        ended = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
        assert ended.stderr == ""
