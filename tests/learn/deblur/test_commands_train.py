import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from learn.deblur.commands_train import TrainOptions, make_recipe, run_train
from learn.deblur.notes import read_notes
from learn.deblur.recipe import DeblurRecipe, read_recipe
from learn.networks import find_config, hash_weights, load_network
from learn.sample_files import write_samples
from learn.trainer.logs import read_log
from psf import InputError

pytest.importorskip("lightning_fabric")
# A network of a few thousand weights, to be trained in a second.
NETWORK = {"width": 4, "encoder_blocks": [1], "middle_blocks": 1, "decoder_blocks": [1]}


@pytest.fixture(scope="module")
def field_file(tmp_path_factory, lens):
    path = tmp_path_factory.mktemp("lens") / "F.h5"
    lens().save(path)
    return path


@pytest.fixture(scope="module")
def small_recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "small.json"
    trainer = {"steps": 6, "batch": 2, "rate": 1e-3, "warmup_steps": 1, "save_every": 2, "log_every": 2, "threads": 1}
    path.write_text(json.dumps({"network": NETWORK, "trainer": trainer, "distance": "ms-ssim"}))
    return path


@pytest.fixture
def options(photo_root, field_file, small_recipe, tmp_path):
    """Makes the options of a short training."""

    def make(**changes):
        given = {
            "photos": photo_root,
            "field": field_file,
            "out": tmp_path / "run",
            "recipe": small_recipe,
            "cells": 16,
            "evaluation_count": 2,
            "index": tmp_path / "index.json",
            "device": "cpu",
        }
        return TrainOptions(**{**given, **changes})

    return make


def test_a_training_leaves_a_network_that_knows_its_lens(options, tmp_path):
    said = []
    assert run_train(options(), say=said.append) == 0
    notes = read_notes(load_network(tmp_path / "run" / "network.pt").notes, "network.pt")
    assert (notes.steps, notes.patch_cells) == (6, (16, 16))
    assert said[0] == "loss: L1 + 0.1 ms-ssim"
    assert said[1] == "evaluation: 2 of fresh samples of the training's own photographs"
    assert said[-2].startswith("PSNR ")
    assert said[-1] == f"written: {tmp_path / 'run' / 'network.pt'}"
    rows = read_log(tmp_path / "run" / "log.csv")
    assert [row["step"] for row in rows] == [0, 2, 4, 6]
    assert rows[0]["psnr_db"] == pytest.approx(rows[0]["input_psnr_db"], abs=1e-4)
    assert {"loss", "l1", "l1_gradient", "ms-ssim", "ms-ssim_gradient", "gradient_norm"} <= set(rows[1])
    assert len(list((tmp_path / "run" / "samples").glob("*.png"))) == 2


def test_the_recipe_of_a_run_makes_the_same_run(options, tmp_path):
    run_train(options())
    again = options(recipe=tmp_path / "run" / "recipe.json", cells=None, out=tmp_path / "again")
    run_train(again)
    one, two = (load_network(tmp_path / name / "network.pt").network for name in ("run", "again"))
    assert hash_weights(one) == hash_weights(two)


def test_what_was_typed_goes_over_the_recipe(options):
    recipe = make_recipe(options(network="tiny", steps=90, rate=2e-4, seed=5, distance="none", clip=float("inf")))
    assert recipe.network == find_config("tiny")
    assert (recipe.trainer.steps, recipe.trainer.rate, recipe.trainer.seed) == (90, 2e-4, 5)
    assert (recipe.trainer.batch, recipe.distance) == (2, "none")
    assert make_recipe(options(recipe=None)) == DeblurRecipe()


def test_the_samples_seed_is_typed_along(options, tmp_path):
    run_train(options(seed=9, evaluation_count=0))
    recipe = read_recipe(tmp_path / "run" / "recipe.json")
    assert (recipe.trainer.seed, recipe.synthesis.seed) == (9, 9)


def test_a_stored_set_is_looked_at_while_it_trains(options, synthesis, tmp_path):
    write_samples(synthesis, tmp_path / "eval", 2, workers=0)
    said = []
    run_train(options(evaluation=tmp_path / "eval"), say=said.append)
    assert said[1] == f"evaluation: 2 of {tmp_path / 'eval'}"


def test_another_setting_of_the_samples_is_refused(options):
    run_train(options(steps=2, evaluation_count=0))
    with pytest.raises(InputError, match=r"synthesis.settings.aux: found .*iso_field"):
        run_train(options(steps=2, evaluation_count=0, aux="none"))
    with pytest.raises(InputError, match=r"distance: found .*ms-ssim"):
        run_train(options(steps=2, evaluation_count=0, distance="none"))


def test_an_interrupt_saves_and_says_how_to_go_on(options, tmp_path):
    said = []

    def interrupt(step, steps, loss):
        if step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    assert run_train(options(), say=said.append, on_progress=interrupt) == 130
    assert said[-1] == "stopped after step 3 of 6; the same command goes on from there"
    assert run_train(options(), say=said.append) == 0
    run_train(options(out=tmp_path / "whole"))
    one, two = (load_network(tmp_path / name / "network.pt").network for name in ("run", "whole"))
    assert hash_weights(one) == hash_weights(two)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": "huge"}, "--network: found 'huge'"),
        ({"cells": 512}, "expected at least the patch's 1024 x 1024 px"),
        ({"precision": "fp16"}, "fp16' on a CPU"),
        ({"warmup": 6}, "trainer.warmup_steps: found 6, expected fewer than the 6 steps"),
        ({"distance": "eye"}, "recipe.distance: found 'eye'"),
        ({"batch": 0}, "trainer.batch: found 0"),
    ],
)
def test_options_that_cannot_be_are_refused_in_a_line(options, changes, words):
    with pytest.raises(InputError, match=words):
        run_train(options(evaluation_count=0, **changes))


def test_a_folder_without_photographs_is_refused(options, tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises((InputError, FileNotFoundError), match="none"):
        run_train(options(photos=tmp_path / "none", index=None))


def command(options, *words):
    return [
        "-m", "learn.deblur", "train", str(options.photos), "--field", str(options.field), "-o", str(options.out),
        "--recipe", str(options.recipe), "--cells", "16", "--evaluation-count", "0", "--device", "cpu",
        "--index", str(options.index), *words,
    ]  # fmt: skip


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bits(options, root, tmp_path):
    words = ("--steps", "60", "--save-every", "3")
    run_train(options(steps=60, evaluation_count=0, out=tmp_path / "whole"))
    process = subprocess.Popen([sys.executable, *command(options(), *words)], cwd=root, stdout=subprocess.DEVNULL)
    state = tmp_path / "run" / "state.pt"
    try:
        while not (state.with_name("state.previous.pt").is_file() or process.poll() is not None):
            time.sleep(0.01)
        # Anywhere in some twenty steps; whatever the moment, the result must be the same.
        time.sleep(float(torch.rand((), generator=torch.Generator().manual_seed(time.time_ns() % 2**31))))
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = subprocess.run([sys.executable, *command(options(), *words)], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    one, two = (load_network(tmp_path / name / "network.pt").network for name in ("run", "whole"))
    assert hash_weights(one) == hash_weights(two)
    steps = [row["step"] for row in read_log(tmp_path / "run" / "log.csv")]
    assert steps == list(range(0, 61, 2))


@pytest.mark.slow
def test_two_processes_train_as_one_with_twice_the_batch(options, root, tmp_path):
    words = ("--steps", "12", "--batch", "4")
    run_train(options(steps=12, batch=4, evaluation_count=0, out=tmp_path / "whole"))
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *launcher, *command(options(), *words)],
        cwd=root, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    one, two = (load_network(tmp_path / name / "network.pt").network for name in ("run", "whole"))
    for (name, values), wanted in zip(one.state_dict().items(), two.state_dict().values(), strict=True):
        assert torch.allclose(values, wanted, atol=1e-4), name
    logs = [read_log(Path(tmp_path / name / "log.csv"))[-1]["loss"] for name in ("run", "whole")]
    assert logs[0] == pytest.approx(logs[1], rel=1e-4)
    odd = subprocess.run(
        [sys.executable, *launcher, *command(options(out=tmp_path / "odd"), "--batch", "3")],
        cwd=root, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert "error: trainer.batch: found 3, expected a multiple of the 2 processes" in odd.stderr
