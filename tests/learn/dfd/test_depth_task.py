import math
from dataclasses import replace

import pytest
import torch

from learn.dfd.alignment import find_aligned
from learn.dfd.depth_notes import read_depth_notes
from learn.dfd.depth_recipe import DepthRecipe
from learn.dfd.depth_task import open_depth_task, take_inputs
from learn.dfd.networks import DepthConfig, load_depth_network, make_depth_network, to_place
from learn.dfd.networks.heads import BLUR_UNIT_PX
from learn.dfd.stack_samples import collate
from learn.dfd.stack_synthesis import draw_stack
from psf import InputError
from psf.threads import limit_threads


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny networks are slower with more."""
    with limit_threads(1):
        yield


@pytest.fixture(scope="module")
def quick(synthesis):
    """Fine noise at one depth, without noise of the sensor."""
    changes = {"textures": ("noise",), "texture_scale": (0.5, 0.7), "low_contrast_share": 0.0, "noise": "none"}
    return synthesis.varied(blur="blend", scenes="one_plane", shape_px=(16, 16), **changes)


@pytest.fixture(scope="module")
def task(quick):
    return open_depth_task(DepthRecipe(width=2), quick, evaluation_count=2)


def first_batch(task, **changes):
    options = {"batch": 2, "rank": 0, "ranks": 1, "first_step": 0, "steps": 2, "workers": 0, "pin_memory": False}
    return next(iter(task.open_loader(**{**options, **changes})))


@torch.no_grad()
def test_the_loss_is_the_squared_error_of_place_and_blur_where_all_pictures_see(task):
    batch, network = first_batch(task), task.make_network(torch.Generator().manual_seed(0))
    found = network(*take_inputs(task.config, batch))
    depth, blur = [], []
    for n, drawn in enumerate(batch.drawn):
        seen = find_aligned((16, 16), task.magnifications, batch.image_shape_px, drawn.window_px)
        depth.append((found.place[n] - to_place(batch.depth_m[n], task.config))[seen].square().mean())
        error = found.blur[n] - batch.blur_px[n] / BLUR_UNIT_PX
        blur.append(error[:, seen[0]].square().mean())
    measured = task.measure(network, batch, with_slopes=False)
    parts = {name: float(value) for name, value in measured.parts.items()}
    assert parts == {"depth": pytest.approx(float(sum(depth)) / 2), "blur": pytest.approx(float(sum(blur)) / 2)}
    assert float(measured.loss) == pytest.approx(parts["depth"] + parts["blur"])


@torch.no_grad()
def test_a_batch_in_parts_has_the_loss_of_the_whole(task):
    network = task.make_network(torch.Generator().manual_seed(0))
    whole = float(task.measure(network, first_batch(task), with_slopes=False).loss)
    halves = [first_batch(task, rank=rank, ranks=2) for rank in (0, 1)]
    parts = [float(task.measure(network, one, with_slopes=False).loss) for one in halves]
    assert sum(parts) / 2 == pytest.approx(whole, rel=1e-5)


def train(task, samples, steps, rate=4e-3):
    """Plain steps over samples that are there; the network and its losses."""
    network = task.make_network(torch.Generator().manual_seed(0))
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    losses = []
    for step in range(steps):
        batch = collate([samples[(6 * step + n) % len(samples)] for n in range(6)])
        loss = task.measure(network, batch, with_slopes=False).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return network.eval(), losses


@pytest.mark.parametrize("kind", ["dual_dfd", "defocus_net"])
def test_the_loss_falls(quick, kind):
    task = open_depth_task(DepthRecipe(network=kind, width=2), quick, evaluation_count=0)
    _, losses = train(task, [draw_stack(quick, index) for index in range(6)], 24)
    assert sum(losses[-4:]) < 0.8 * sum(losses[:4])


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "steps", "rate"), [("dual_dfd", 200, 2e-3), ("defocus_net", 500, 1e-3)])
def test_a_short_training_beats_every_constant_answer(quick, kind, steps, rate):
    """On stacks that it was not trained on; the best constant is the median of those that it was, in dioptres."""
    larger = quick.varied(shape_px=(32, 32))
    task = open_depth_task(DepthRecipe(network=kind, width=4, blur_unit_px=1.0), larger, evaluation_count=0)
    samples = [draw_stack(larger, index) for index in range(120)]
    network, _ = train(task, samples[:96], steps, rate=rate)
    other = replace(task, evaluation=(collate(samples[96:]),))
    found = other.evaluate(network, torch.device("cpu")).numbers
    median = torch.stack([one.depth_dpt.median() for one in samples[:96]]).median()
    constant = float(torch.stack([(one.depth_dpt - median).abs().mean() for one in samples[96:]]).mean())
    assert found["mae_dpt"] < 0.8 * constant
    assert found["mae_m"] < found["middle_mae_m"]


@torch.no_grad()
def test_a_network_on_residuals_is_trained_on_them(quick, tmp_path):
    task = open_depth_task(DepthRecipe(network="cost_volume", width=2), quick, evaluation_count=1)
    assert not task.config.with_radius
    batch = first_batch(task)
    assert batch.costs.shape == (2, 24, 16, 16)
    network = task.make_network(torch.Generator().manual_seed(0))
    measured = task.measure(network, batch, with_slopes=False)
    error = (network(batch.costs).place - to_place(batch.depth_m, task.config)).abs()
    seen = task.find_seen(batch)
    wanted = sum(float(error[n][seen[n]].mean()) for n in range(2)) / 2
    assert float(measured.loss) == pytest.approx(wanted, rel=1e-4)
    assert math.isfinite(task.evaluate(network, torch.device("cpu")).numbers["mae_m"])
    task.save(network, tmp_path / "network.pt", 1)
    assert load_depth_network(tmp_path / "network.pt").network.config == task.config
    with pytest.raises(InputError, match=r"batch\.costs"):
        take_inputs(task.config, replace(batch, costs=None))


def test_the_page_shows_pictures_and_depth(task):
    found = task.evaluate(task.make_network(torch.Generator().manual_seed(0)).eval(), torch.device("cpu"))
    assert set(found.numbers) == set(task.evaluation_names)
    assert all(math.isfinite(one) for one in found.numbers.values())
    assert found.pictures["step"].shape == (3, 2 * 16, 4 * (16 + 4))


def test_the_saved_network_tells_its_training(task, quick, tmp_path):
    network = task.make_network(torch.Generator().manual_seed(0))
    task.save(network, tmp_path / "network.pt", 4)
    saved = load_depth_network(tmp_path / "network.pt")
    notes = read_depth_notes(saved.notes, "network.pt")
    assert (notes.steps, notes.aligned) == (4, True)
    assert notes.settings == quick.settings
    with pytest.raises(InputError, match="a depth network"):
        task.save(torch.nn.Conv2d(1, 1, 1), tmp_path / "x.pt", 1)


def test_a_training_may_begin_with_a_network_of_its_shape(task, quick):
    start = make_depth_network(task.config, generator=torch.Generator().manual_seed(5))
    other = open_depth_task(DepthRecipe(width=2), quick, evaluation_count=0, start=start)
    network = other.make_network(torch.Generator().manual_seed(6))
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), start.parameters(), strict=True))
    assert other.describe()["start"] != task.describe()["start"] == ""
    wrong = make_depth_network(DepthConfig(width=3, pictures=3), generator=torch.Generator().manual_seed(5))
    with pytest.raises(InputError, match="start"):
        open_depth_task(DepthRecipe(width=2), quick, start=wrong)


def test_evaluation_sets_that_are_none_are_refused(quick):
    with pytest.raises(InputError, match="evaluation_count"):
        open_depth_task(DepthRecipe(width=2), quick, evaluation_count=-1)
    with pytest.raises(InputError, match="no stacks"):
        open_depth_task(DepthRecipe(width=2), quick, evaluation=[])
