from dataclasses import replace

import pytest
import torch

from learn.deblur.notes import read_notes
from learn.deblur.recipe import DeblurRecipe
from learn.deblur.task import open_task
from learn.losses import find_gradient_norms, measure_loss
from learn.metrics import find_psnr_db
from learn.networks import NAFNetConfig, load_network
from learn.perceptual import load_distance
from learn.sample_files import write_samples
from learn.synthesis import draw_sample
from learn.trainer import TrainerSettings
from psf import InputError
from render import process

SMALL = NAFNetConfig(4, (1,), 1, (1,))


@pytest.fixture
def recipe():
    return DeblurRecipe(network=SMALL, distance="ms-ssim", trainer=TrainerSettings(steps=4, batch=2, warmup_steps=1))


@pytest.fixture
def task(recipe, synthesis):
    return open_task(recipe, synthesis, evaluation_count=3)


def random_network(task, seed=0):
    """Not the identity: all weights random."""
    g = torch.Generator().manual_seed(seed)
    network = task.make_network(g)
    with torch.no_grad():
        for values in network.parameters():
            values += 0.02 * torch.randn(values.shape, generator=g)
    return network


def first_batch(task, **changes):
    options = {"batch": 2, "rank": 0, "ranks": 1, "first_step": 0, "steps": 2, "workers": 0, "pin_memory": False}
    return next(iter(task.open_loader(**{**options, **changes})))


def test_training_begins_at_the_inputs_quality(task):
    found = task.evaluate(task.make_network(torch.Generator().manual_seed(0)), torch.device("cpu")).numbers
    assert found["psnr_db"] == pytest.approx(found["input_psnr_db"], abs=1e-4)
    assert found["ssim"] == pytest.approx(found["input_ssim"], abs=1e-5)


def test_the_loss_is_equation_8_with_the_samples_own_colours(task):
    batch, network = first_batch(task), random_network(task)
    wanted = measure_loss(network(batch.input), batch.target, batch.metadata, distance=load_distance("ms-ssim"))
    found = task.measure(network, batch, with_slopes=False)
    assert float(found.loss.detach()) == pytest.approx(float(wanted.total.detach()), rel=1e-6)
    assert set(found.parts) == {"l1", "ms-ssim"}
    assert float(found.parts["l1"]) == pytest.approx(float(wanted.l1.detach()), rel=1e-6)


def test_a_network_that_learns_with_scaled_planes_is_saved_for_plain_ones(recipe, synthesis, tmp_path):
    plain = open_task(recipe, synthesis, evaluation_count=0)
    scaled = open_task(replace(recipe, told_scale=0.125), synthesis, evaluation_count=0)
    network, batch = random_network(scaled), first_batch(scaled)
    scaled.save(network, tmp_path / "network.pt", 3)
    saved = load_network(tmp_path / "network.pt").network
    wanted = scaled.measure(network, batch, with_slopes=False).loss.detach()
    assert float(plain.measure(saved, batch, with_slopes=False).loss.detach()) == pytest.approx(float(wanted), rel=1e-6)
    assert float(plain.measure(network, batch, with_slopes=False).loss.detach()) != pytest.approx(float(wanted))
    again = replace(scaled, start=saved).make_network(torch.Generator())
    torch.testing.assert_close(again.intro.weight, network.intro.weight)


def test_norms_of_both_gradients_are_told_when_asked_for(task):
    batch, network = first_batch(task), random_network(task)
    found = network(batch.input)
    wanted = find_gradient_norms(measure_loss(found, batch.target, batch.metadata, distance=task.distance), found)
    parts = task.measure(network, batch, with_slopes=True).parts
    assert set(parts) == set(task.part_names)
    assert (float(parts["l1_gradient"]), float(parts["ms-ssim_gradient"])) == pytest.approx(wanted, rel=1e-5)


def test_without_a_distance_the_loss_is_l1_alone(recipe, synthesis):
    task = open_task(replace(recipe, distance="none"), synthesis, evaluation_count=0)
    assert (task.loss_name, task.part_names, task.evaluation_names) == ("L1", ("l1", "l1_gradient"), ())
    assert task.evaluate(random_network(task), torch.device("cpu")).numbers == {}
    measured = task.measure(random_network(task), first_batch(task), with_slopes=False)
    assert measured.loss.requires_grad
    assert set(measured.parts) == {"l1"}


def test_developed_pictures_are_compared_as_they_are(recipe, synthesis):
    task = open_task(recipe, synthesis.varied(space="rgb"), evaluation_count=2)
    network, batch = random_network(task), first_batch(task)
    assert batch.input.shape[1:] == (5, 64, 64)
    l1 = (network(batch.input) - batch.target).abs().mean()
    assert float(task.measure(network, batch, with_slopes=True).parts["l1"]) == pytest.approx(float(l1.detach()))
    assert task.evaluate(network, torch.device("cpu")).pictures["step"].shape[0] == 3


def test_batches_are_those_of_their_step(task):
    assert first_batch(task, first_step=1).index.tolist() == [2, 3]
    assert first_batch(task, first_step=1, rank=1, ranks=2).index.tolist() == [3]


def test_psnr_is_that_of_developed_and_clipped_pictures(recipe, synthesis):
    samples = [draw_sample(synthesis, index) for index in (50, 51)]
    task = open_task(recipe, synthesis, evaluation=samples)
    network = random_network(task).eval()
    wanted = []
    for sample in samples:
        with torch.no_grad():
            restored = network(sample.input[None])
        one, two = (process(picture, sample.metadata) for picture in (restored, sample.target[None]))
        wanted.append(float(find_psnr_db(one, two)))
    found = task.evaluate(network, torch.device("cpu"))
    assert found.numbers["psnr_db"] == pytest.approx(sum(wanted) / 2, abs=1e-3)
    assert found.pictures["step"].shape == (3, 2 * 64 + 4, 3 * 64 + 8)


def test_a_stored_set_is_picked_evenly(recipe, synthesis, tmp_path):
    write_samples(synthesis, tmp_path / "eval", 5, per_shard=5, workers=0)
    task = open_task(recipe, synthesis, evaluation=tmp_path / "eval", evaluation_count=2)
    assert [int(index) for batch in task.evaluation for index in batch.index] == [0, 2]


def test_its_own_evaluation_holds_none_of_the_trainings_samples(task, synthesis):
    shown = task.evaluation[0].input[0]
    assert not any(torch.equal(draw_sample(synthesis, index).input, shown) for index in range(3))


def test_frames_larger_than_patches_are_restored_with_means_over_boxes(recipe, synthesis):
    larger = synthesis.settings.changed(shape_px=(128, 128))
    samples = [draw_sample(replace(synthesis, settings=larger), 3)]
    task = open_task(recipe, synthesis, evaluation=samples)
    network, seen = random_network(task).eval(), []
    network.register_forward_hook(lambda _, args, __: seen.append(args[1]))
    task.evaluate(network, torch.device("cpu"))
    assert seen == [48]  # 1.5 times the 32 cells of a patch


def test_the_saved_network_tells_its_training(task, tmp_path):
    network = random_network(task)
    task.save(network, tmp_path / "network.pt", 4)
    saved = load_network(tmp_path / "network.pt")
    assert all(torch.equal(one, two) for one, two in zip(saved.network.parameters(), network.parameters(), strict=True))
    assert read_notes(saved.notes, "network.pt").steps == 4
    assert saved.notes["loss"] == "L1 + 0.1 ms-ssim"


def test_a_training_may_begin_with_a_network(task, recipe, synthesis):
    start = random_network(task)
    other = open_task(recipe, synthesis, evaluation_count=0, start=start)
    network = other.make_network(torch.Generator().manual_seed(5))
    assert all(torch.equal(one, two) for one, two in zip(network.parameters(), start.parameters(), strict=True))
    assert other.describe()["start"] != task.describe()["start"] == ""
    with pytest.raises(InputError, match="start: found NAFNetConfig"):
        open_task(replace(recipe, network=NAFNetConfig(8, (1,), 1, (1,))), synthesis, start=start)


def test_the_weights_of_a_seed_are_the_same(task):
    one, two = (task.make_network(torch.Generator().manual_seed(1)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_patches_too_small_for_the_distance_are_refused_before_the_first_step(recipe, synthesis):
    tiny = replace(synthesis, settings=synthesis.settings.changed(shape_px=(8, 8)))
    with pytest.raises(InputError, match="8 x 8 px, expected at least 11 px to a side for ms-ssim"):
        open_task(recipe, tiny, evaluation_count=0)


def test_an_evaluation_set_that_does_not_fit_is_refused(recipe, synthesis, tmp_path):
    with pytest.raises(InputError, match="evaluation_count: found -1"):
        open_task(recipe, synthesis, evaluation_count=-1)
    with pytest.raises(InputError, match="found no samples"):
        open_task(recipe, synthesis, evaluation=[])
    write_samples(synthesis, tmp_path / "eval", 1, workers=0)
    with pytest.raises(InputError, match="expected a sample in space 'rgb'"):
        open_task(recipe, synthesis.varied(space="rgb"), evaluation=tmp_path / "eval")
