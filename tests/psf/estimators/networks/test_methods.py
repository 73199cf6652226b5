import pytest
import torch

import psf
from psf.errors import InputError
from psf.estimators import networks
from psf.estimators.networks import KnownKernels, NetworkOptions, learning
from psf.estimators.networks.losses import find_reconstruction_loss
from psf.estimators.networks.methods import prepare_captures

METHODS = ("psfnet", "ih", "xy", "none", "tseng", "yang", "gaussian")
SMALL = {"width": 8, "levels": 2, "patch_px": 32, "batch": 8}


def estimate(method, captures, **options):
    return getattr(networks, f"estimate_{method}")(captures, NetworkOptions(**{**SMALL, **options}))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_answers_as_a_model(captures, method):
    model = estimate(method, captures, steps=2)
    assert isinstance(model, psf.PSFModel)
    kernels = model.kernels_at_pixel(torch.tensor([5.0, 100.0]), torch.tensor([7.0, 60.0]), torch.tensor([0.5, 0.7]))
    assert kernels.shape == (2, 1, 9, 9)
    assert (kernels >= 0).all()
    assert torch.allclose(kernels.sum((-2, -1)), torch.ones(2, 1), atol=1e-5)
    if method == "xy":
        with pytest.raises(InputError, match="to_field"):
            model.to_field([0.5], [0.0, 1.0])
    else:
        field = model.to_field([0.4, 0.9], [0.0, 0.5, 1.0])
        assert field.kernels.shape == (2, 3, 1, 9, 9)


def test_psfnet_learns_the_kernels_of_its_pairs_and_the_invariant_ablation_does_not(make, known):
    captures = make(pairs=20)
    radius, depth_m = torch.tensor([0.2, 0.5, 0.8, 0.5]), torch.tensor([0.5, 0.4, 0.9, 1.0])
    truth = known(radius.double(), depth_m.double())
    options = {"steps": 150, "step_size": 5e-3, "radial_weight": 0.0}
    errors = {
        method: float((estimate(method, captures, **options).kernels_at(radius, depth_m) - truth).abs().mean())
        for method in ("psfnet", "none")
    }
    even = float((torch.full_like(truth, 1 / 81) - truth).abs().mean())
    assert errors["psfnet"] < 0.35 * even
    assert errors["psfnet"] < 0.7 * errors["none"]


@pytest.mark.parametrize(("method", "steps", "share"), [("yang", 150, 0.4), ("tseng", 60, 0.5)])
def test_rivals_learn_from_known_kernels(captures, known, method, steps, share):
    radius = torch.linspace(0, 1, 8).repeat(6)
    depth_m = 1 / torch.linspace(1, 3, 6).repeat_interleave(8)
    kernels = known(radius.double(), depth_m.double()).float()
    options = {"known": KnownKernels(kernels=kernels, radius=radius, depth_m=depth_m), "width": 64, "batch": 16}
    model = estimate(method, captures, steps=steps, **options)
    found = model.kernels_at(torch.tensor([0.3, 0.7]), torch.tensor([0.45, 0.8]))
    truth = known(torch.tensor([0.3, 0.7]).double(), torch.tensor([0.45, 0.8]).double())
    assert float((found - truth).abs().mean()) < share * float((truth - 1 / 81).abs().mean())


def test_the_gaussian_of_known_kernels_is_fitted_at_once(captures, gaussians):
    sigma_px = torch.tensor([1.0, 2.0])
    kernels = gaussians(sigma_px, 9)[:, None]
    known = KnownKernels(kernels=kernels, radius=torch.zeros(2), depth_m=torch.tensor([1.0, 0.4]))
    steps = []
    model = networks.estimate_gaussian(
        captures, NetworkOptions(known=known), on_progress=lambda *now: steps.append(now)
    )
    assert torch.allclose(model.kernels_at(0.5, torch.tensor([1.0, 0.4])), kernels, atol=1e-3)
    assert steps == [(1, 1)]


def test_the_gaussian_of_pairs_finds_their_widths(make):
    captures = make(pairs=15, is_turned=False)
    model = estimate("gaussian", captures, steps=80)
    depth_m = torch.tensor([0.5, 1.0])
    in_focus, out_of_focus = model.network.sigma_px(model.scale.at_radius(0 * depth_m, depth_m))[:, 0].tolist()
    # 0.8 px and 1.3 px, but for kernels that narrow and move with image height.
    assert 0.7 < in_focus < 1.0 < out_of_focus < 1.6


def test_the_invariant_kernel_is_the_best_for_its_loss_over_the_field(make, known):
    captures = make(pairs=20, depth_m=0.5)
    model = estimate("none", captures, steps=100, step_size=5e-3, smooth_weight=0.0, radial_weight=0.0)
    pairs = captures.stacked()

    def loss_of(kernel):
        return float(find_reconstruction_loss(pairs.sharp, pairs.blurred, kernel.expand(20, -1, -1, -1)).mean())

    own = loss_of(model.kernels_at(0.0, 0.5).contiguous())
    rivals = known(torch.tensor([0.0, 0.3, 0.6]).double(), torch.tensor([0.5, 0.5, 0.5]).double()).float()
    assert own < min(loss_of(one[None].contiguous()) for one in rivals)


@pytest.mark.parametrize("method", ["psfnet", "yang"])
def test_a_killed_estimate_goes_on_to_the_same_weights(captures, tmp_path, monkeypatch, method):
    monkeypatch.setattr(learning, "CHECKPOINT_S", 0.0)
    options, file = NetworkOptions(**SMALL, steps=6), tmp_path / "run.checkpoint"
    estimator = getattr(networks, f"estimate_{method}")
    whole = estimator(captures, options, generator=torch.Generator().manual_seed(3))

    def kill(done, _):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        estimator(captures, options, generator=torch.Generator().manual_seed(3), on_progress=kill, checkpoint=file)
    again = estimator(captures, options, generator=torch.Generator().manual_seed(3), checkpoint=file)
    ours, theirs = whole.network.state_dict(), again.network.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_checkpoint_of_other_options_is_refused(captures, tmp_path, monkeypatch):
    monkeypatch.setattr(learning, "CHECKPOINT_S", 0.0)
    file = tmp_path / "run.checkpoint"

    def kill(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        networks.estimate_psfnet(captures, NetworkOptions(**SMALL, steps=6), on_progress=kill, checkpoint=file)
    with pytest.raises(InputError, match="another estimate"):
        networks.estimate_psfnet(captures, NetworkOptions(**SMALL, steps=7), checkpoint=file)


def test_seeds_decide(captures):
    first, second, other = (
        networks.estimate_psfnet(
            captures, NetworkOptions(**SMALL, steps=2), generator=torch.Generator().manual_seed(seed)
        )
        for seed in (1, 1, 2)
    )
    places = torch.tensor([0.3]), torch.tensor([0.5])
    assert torch.equal(first.kernels_at(*places), second.kernels_at(*places))
    assert not torch.equal(first.kernels_at(*places), other.kernels_at(*places))


def test_colours_have_a_kernel_each(make):
    model = estimate("psfnet", make(pairs=4, channels=3), steps=2)
    assert model.kernels_at(0.5, 0.5).shape == (1, 3, 9, 9)
    assert len(model.to_field([0.5], [0.0, 1.0]).channels) == 3


def test_breathing_that_is_given_becomes_the_fields_magnification(captures):
    model = estimate("psfnet", captures, steps=1, magnification=0.98)
    assert model.to_field([0.5], [0.0, 1.0]).magnification == 0.98


def test_exposures_are_taken_out(captures):
    from dataclasses import replace

    from psf.captures import HeldPairs

    brighter = replace(captures, source=HeldPairs(captures.sharp, 2 * captures.blurred))
    ready, fall_off = prepare_captures(brighter, 1.0, True)
    assert torch.allclose(ready.blurred.mean((1, 2, 3)), captures.blurred.mean((1, 2, 3)), rtol=0.01)
    assert fall_off.shape == (1, 2)
    left, _ = prepare_captures(brighter, 1.0, False)
    assert torch.equal(left.blurred, brighter.blurred)


def test_several_focus_distances_are_refused(make):
    with pytest.raises(InputError, match="one focus distance"):
        networks.estimate_psfnet(make(pairs=4, focus_m=[0.5, 0.5, 0.7, 0.7]))


def test_no_pairs_and_foreign_options_are_refused(captures):
    with pytest.raises(InputError, match="no pairs"):
        networks.estimate_psfnet(captures.chosen([]))
    with pytest.raises(InputError, match="NetworkOptions"):
        networks.estimate_psfnet(captures, {"steps": 2})


def test_known_kernels_of_another_size_are_refused(captures):
    known = KnownKernels(kernels=torch.full((1, 1, 5, 5), 0.04), radius=torch.zeros(1), depth_m=torch.ones(1))
    with pytest.raises(InputError, match="known"):
        estimate("yang", captures, steps=1, known=known)
