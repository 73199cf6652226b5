import pytest
import torch
from torch import nn

from psf.errors import InputError
from psf.estimators.networks import learning
from psf.estimators.networks.bodies import draw_weights
from psf.estimators.networks.learning import Schedule, learn_weights

SCHEDULE = Schedule(12, 1e-2, 1e-4)


class Killed(Exception):
    pass


def network():
    made = nn.utils.skip_init(nn.Linear, 3, 1)
    draw_weights(made, generator=torch.Generator().manual_seed(0))
    return made


def loss_of(one):
    def find_loss(generator):
        x = torch.randn(8, 3, generator=generator)
        return (one(x)[:, 0] - x.sum(1)).square().mean()

    return find_loss


def learn(one, **more):
    learn_weights(one, loss_of(one), SCHEDULE, seed=5, identity="run", **more)
    return one


def test_step_sizes_rise_shortly_and_fall_along_half_a_cosine():
    sizes = [Schedule(101, 1.0, 0.2).at(step) for step in range(101)]
    assert sizes[0] == pytest.approx(1 / 6)
    assert sizes[5] == max(sizes) == pytest.approx(1.0)
    assert sizes[100] == pytest.approx(0.2)
    assert Schedule(11, 1.0, 0.2).at(0) == pytest.approx(1.0)
    assert Schedule(11, 1.0, 0.2).at(5) == pytest.approx(0.6)
    assert Schedule(11, 1.0, 0.2).at(10) == pytest.approx(0.2)
    assert Schedule(1, 1.0, 0.2).at(0) == pytest.approx(1.0)


def test_learning_lowers_the_loss_and_tells_of_every_step():
    one, steps = network(), []
    g = torch.Generator().manual_seed(1)
    before = float(loss_of(one)(g.manual_seed(1)).detach())
    learn(one, on_progress=lambda *now: steps.append(now))
    assert float(loss_of(one)(g.manual_seed(1)).detach()) < before
    assert steps == [(n, 12) for n in range(1, 13)]


@pytest.mark.parametrize("killed_at", [1, 5, 11])
@pytest.mark.parametrize("every_s", [0.0, 1e9])
def test_a_run_killed_at_any_step_goes_on_to_the_same_weights(tmp_path, monkeypatch, killed_at, every_s):
    monkeypatch.setattr(learning, "CHECKPOINT_S", every_s)
    whole, file = learn(network()), tmp_path / "run.checkpoint"

    def kill(done, _):
        if done == killed_at:
            raise Killed

    with pytest.raises(Killed):
        learn(network(), checkpoint=file, on_progress=kill)
    assert file.is_file() == (every_s == 0.0)
    steps = []
    again = learn(network(), checkpoint=file, on_progress=lambda done, _: steps.append(done))
    assert steps[0] == (killed_at if every_s == 0.0 else 1)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))
    assert not file.exists()


def test_checkpoints_of_other_runs_and_other_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(learning, "CHECKPOINT_S", 0.0)
    file = tmp_path / "run.checkpoint"

    def kill(done, _):
        raise Killed

    with pytest.raises(Killed):
        learn(network(), checkpoint=file, on_progress=kill)
    one = network()
    with pytest.raises(InputError, match="another estimate"):
        learn_weights(one, loss_of(one), SCHEDULE, seed=5, identity="other", checkpoint=file)
    file.write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="no checkpoint"):
        learn(network(), checkpoint=file)


def test_a_loss_that_is_not_finite_ends_the_run():
    one = network()
    with pytest.raises(InputError, match="smaller step size"):
        learn_weights(one, lambda _: one.weight.sum() * float("nan"), SCHEDULE, seed=0, identity="")
