"""The commands of `autoencoder` on many files and folders, of which some are bad."""

from __future__ import annotations

import os
import pty
import subprocess
import threading
from pathlib import Path

import numpy as np
from PIL import Image

from service import images
from tests.service.cli.pictures import AUTOENCODER, GREYS, RNG, read

MNIST = Path(__file__).resolve().parents[4] / "shared/data/MNIST/raw/t10k-images-idx3-ubyte"


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


def test_of_many_faults_the_first_twenty_are_told(run):
    Path("bad").mkdir()
    for i in range(30):
        Path(f"bad/{i}.png").write_bytes(b"no picture")
    status, _, err = run("denoise", "bad", "--out", "clean")
    assert status == 1
    assert err.count("no image") == 20
    assert "10 more" in err


def test_the_files_that_are_read_are_overwritten_only_if_that_is_said(run):
    status, _, err = run("denoise", "noisy", "--out", "noisy")
    assert status == 1
    assert "--in-place" in err
    before = Path("noisy/0.png").stat().st_mtime_ns
    assert run("denoise", "noisy", "--out", "noisy", "--in-place")[0] == 0
    assert Path("noisy/0.png").stat().st_mtime_ns > before
