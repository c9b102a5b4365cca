"""Each command of `autoencoder`: what it prints and writes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service import images
from tests.service.cli.pictures import GREYS, read


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
