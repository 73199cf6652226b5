import math

import numpy as np
import pytest
import torch

from psf.errors import InputError
from render.metadata import (
    ColourMetadata,
    brooks_read,
    join_metadata,
    make_metadata,
    mix_matrices,
    normalise_rows,
    random_gamma,
    random_metadata,
    random_noise_levels,
)

F64 = torch.float64
MANY = 20_000
FIELDS = ("rgb_to_camera", "red_gain", "blue_gain", "brightening")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def values_of(metadata):
    return [getattr(metadata, name) for name in FIELDS]


@pytest.fixture(scope="module")
def golden(root):
    with np.load(root / "tests" / "data" / "unprocessing_isp.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


@pytest.fixture(scope="module")
def drawn():
    return random_metadata(MANY, generator=seeded(3), dtype=F64)


@pytest.mark.parametrize(("dtype", "tolerance"), [(F64, 1e-12), (torch.float32, 1e-5)])
def test_golden_matrices(golden, dtype, tolerance):
    weights = torch.cat([golden["ccm_weights"][None], torch.eye(4, dtype=F64)]).to(dtype)
    matrices = mix_matrices(weights)
    one = torch.ones(5, dtype=dtype)
    metadata = ColourMetadata(matrices, one, one, one)
    assert (matrices[0] - golden["rgb2cam"]).abs().max() < tolerance
    assert (matrices[1:] - golden["rgb2cam_pure"]).abs().max() < tolerance
    assert (metadata.camera_to_rgb[0] - golden["cam2rgb"]).abs().max() < tolerance
    assert (matrices.sum(-1) - 1).abs().max() < tolerance


def test_weights_count_by_their_ratios():
    weights = torch.rand(5, 4, dtype=F64, generator=seeded())
    assert (mix_matrices(7 * weights) - mix_matrices(weights)).abs().max() < 1e-15


def test_the_order_of_the_draws_is_that_of_the_specification():
    found = random_metadata(2, generator=(generator := seeded(5)), dtype=F64)
    shot, read = random_noise_levels(2, generator=generator, dtype=F64)
    again = seeded(5)
    weights = 1e-8 + (1e8 - 1e-8) * torch.rand(2, 4, dtype=F64, generator=again)
    dimming = 0.8 + 0.1 * torch.randn(2, dtype=F64, generator=again)
    red, blue, level = (torch.rand(2, dtype=F64, generator=again) for _ in range(3))
    want_shot = (math.log(1e-4) + (math.log(0.012) - math.log(1e-4)) * level).exp()
    want_read = (2.18 * want_shot.log() + 1.20 + 0.26 * torch.randn(2, dtype=F64, generator=again)).exp()
    wanted = [mix_matrices(weights), 1.9 + 0.5 * red, 1.5 + 0.4 * blue, 1 / dimming]
    for one, want in zip([*values_of(found), shot, read], [*wanted, want_shot, want_read], strict=True):
        assert (one - want).abs().max() < 1e-14


def test_the_same_seed_gives_the_same_bytes_and_the_global_generator_rests():
    before = torch.get_rng_state()
    one, two = (random_metadata(9, generator=seeded(1)) for _ in range(2))
    jittered = [metadata.jittered(generator=seeded(2)) for metadata in (one, two)]
    for a, b in zip(values_of(one) + values_of(jittered[0]), values_of(two) + values_of(jittered[1]), strict=True):
        assert a.dtype == torch.float32
        assert a.equal(b)
    assert torch.get_rng_state().equal(before)


def test_brightening_is_a_truncated_normal(drawn):
    dimming = 1 / drawn.brightening
    assert 0.5 <= dimming.min() < 0.52
    assert 1.08 < dimming.max() <= 1.1
    # Cut at three standard deviations: the variance is 0.97334 of the normal's. Four and a half standard errors.
    assert abs(dimming.mean() - 0.8) < 4.5 * 0.1 / MANY**0.5
    assert abs(dimming.var() / 0.01 - 0.97334) < 4.5 * (2 / MANY) ** 0.5


def test_draws_outside_the_range_are_drawn_again():
    # In 20,000 draws some 54 fall beyond three standard deviations; none of them may be left, or cut to the ends.
    dimming = 1 / random_metadata(MANY, generator=seeded(8), dtype=F64).brightening
    plain = seeded(8)
    torch.rand(MANY, 4, dtype=F64, generator=plain)
    first = 0.8 + 0.1 * torch.randn(MANY, dtype=F64, generator=plain)
    outside = (first < 0.5) | (first > 1.1)
    assert 20 < outside.sum() < 100
    assert (dimming[~outside] - first[~outside]).abs().max() < 1e-15
    assert ((dimming[outside] > 0.5001) & (dimming[outside] < 1.0999)).all()


@pytest.mark.parametrize(("name", "low", "high"), [("red_gain", 1.9, 2.4), ("blue_gain", 1.5, 1.9)])
def test_gains_are_uniform(drawn, name, low, high):
    gains = getattr(drawn, name)
    assert low <= gains.min() < low + 1e-3
    assert high - 1e-3 < gains.max() <= high
    assert abs(gains.mean() - (low + high) / 2) < 4.5 * (high - low) / (12 * MANY) ** 0.5


def test_matrices_keep_grey_and_can_be_inverted(drawn):
    assert (drawn.rgb_to_camera.sum(-1) - 1).abs().max() < 1e-12
    assert (drawn.camera_to_rgb.sum(-1) - 1).abs().max() < 1e-11
    assert (drawn.camera_to_rgb @ drawn.rgb_to_camera - torch.eye(3, dtype=F64)).abs().max() < 1e-12


def test_golden_read_noise_lies_on_the_line(golden):
    for name, deviations in (("median", 0.0), ("plus1sd", 1.0)):
        found = brooks_read(golden["brooks_shot"], deviations)
        assert (found / golden["brooks_read_" + name] - 1).abs().max() < 1e-12


def test_noise_levels_scatter_about_the_line():
    shot, read = random_noise_levels(MANY, generator=seeded(4), dtype=F64)
    assert 1e-4 <= shot.min() < 1.001e-4
    assert 0.01199 < shot.max() <= 0.012
    off = (read / brooks_read(shot)).log()
    assert abs(off.mean()) < 4.5 * 0.26 / MANY**0.5
    assert abs(off.std() / 0.26 - 1) < 4.5 / (2 * MANY) ** 0.5


def test_jitter_has_the_stated_spread():
    one = random_metadata(1, generator=seeded(1), dtype=F64)
    many = one.repeated(MANY)
    jittered = many.jittered(generator=seeded(2))
    for name in ("red_gain", "blue_gain"):
        change = getattr(jittered, name) - getattr(many, name)
        assert abs(change.mean()) < 4.5 * 0.1 / MANY**0.5
        assert abs(change.std() / 0.1 - 1) < 4.5 / (2 * MANY) ** 0.5
    change = jittered.camera_to_rgb - one.camera_to_rgb
    assert (change.sum(-1)).abs().max() < 1e-11  # grey stays grey
    # Scaling a row c back to its sum 1 takes c times the sum of the three errors off each: (1 - c)^2 + 2 c^2.
    c = one.camera_to_rgb[0]
    want = 0.01 * ((1 - c) ** 2 + 2 * c**2) ** 0.5
    assert (change.std(0) / want - 1).abs().max() < 0.05  # the scaling is not quite linear
    assert jittered.brightening.equal(many.brightening)


def test_no_jitter_changes_nothing_and_small_gains_stay_positive():
    one = random_metadata(3, generator=seeded(1), dtype=F64)
    same = one.jittered(generator=seeded(2), gain_sd=0, matrix_sd=0)
    for a, b in zip(values_of(one), values_of(same), strict=True):
        assert (a - b).abs().max() < 1e-14
    wild = one.repeated(200).jittered(generator=seeded(2), gain_sd=50, matrix_sd=0)
    assert (wild.red_gain >= 0.5 * one.red_gain.min()).all()


def test_gammas_are_normal_about_their_mean():
    gammas = random_gamma(MANY, generator=seeded(1), dtype=F64)
    assert abs(gammas.mean() - 2) < 4.5 * 0.01 / MANY**0.5
    assert abs(gammas.std() / 0.01 - 1) < 4.5 / (2 * MANY) ** 0.5
    assert random_gamma(3, generator=seeded(1), mean=2.2, sd=0).tolist() == pytest.approx([2.2] * 3)


def test_batches_are_taken_apart_joined_and_repeated():
    batch = random_metadata(4, generator=seeded(1))
    assert len(batch) == 4
    parts = list(batch)
    assert [len(part) for part in parts] == [1] * 4
    for a, b in zip(values_of(join_metadata(parts)), values_of(batch), strict=True):
        assert a.equal(b)
    assert batch[-1].red_gain.equal(batch.red_gain[3:])
    assert batch[1:3].red_gain.equal(batch.red_gain[1:3])
    assert batch[torch.tensor([2, 0])].blue_gain.equal(batch.blue_gain[[2, 0]])
    assert batch.repeated(2).red_gain.equal(batch.red_gain[[0, 0, 1, 1, 2, 2, 3, 3]])
    assert batch.to(dtype=F64).rgb_to_camera.dtype == F64
    with pytest.raises(IndexError):
        batch[4]
    assert len(random_metadata(0, generator=seeded())) == 0


def test_a_known_camera_makes_its_metadata():
    xyz_to_camera = torch.tensor([[0.6596, -0.2079, -0.0562], [-0.4782, 1.3016, 0.1933], [-0.0970, 0.1581, 0.5181]])
    found = make_metadata(xyz_to_camera.to(F64), torch.tensor([1.0, 0.5, 0.8], dtype=F64), brightening=1.5)
    assert (found.rgb_to_camera - mix_matrices(torch.tensor([[0.0, 0.0, 0.0, 1.0]], dtype=F64))).abs().max() < 1e-7
    assert [float(found.red_gain), float(found.blue_gain), float(found.brightening)] == [2, 1.6, 1.5]
    batch = make_metadata(xyz_to_camera.expand(2, 3, 3), torch.tensor([[2.0, 1.0, 1.5], [1.8, 1.0, 1.4]]))
    assert batch.red_gain.tolist() == pytest.approx([2.0, 1.8])


def test_gradients_pass_through_a_camera_s_numbers():
    matrix = random_metadata(2, generator=seeded(1), dtype=F64).rgb_to_camera.requires_grad_()
    one = torch.ones(2, dtype=F64)
    assert torch.autograd.gradcheck(lambda m: ColourMetadata(m, one, one, one).camera_to_rgb, matrix)


EYE, ONE = torch.eye(3)[None], torch.ones(1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ColourMetadata(EYE[0], ONE, ONE, ONE), "rgb_to_camera: found torch.float32 of shape (3, 3)"),
        (lambda: ColourMetadata(EYE.half(), ONE, ONE, ONE), "rgb_to_camera: found torch.float16"),
        (lambda: ColourMetadata(EYE * math.nan, ONE, ONE, ONE), "rgb_to_camera: found 9 values that are NaN"),
        (lambda: ColourMetadata(torch.ones(1, 3, 3), ONE, ONE, ONE), "a matrix without an inverse"),
        (lambda: ColourMetadata(EYE, torch.ones(2), ONE, ONE), "red_gain: found torch.float32 of shape (2,)"),
        (lambda: ColourMetadata(EYE, ONE, ONE.double(), ONE), "blue_gain: found torch.float64"),
        (lambda: ColourMetadata(EYE, -ONE, ONE, ONE), "red_gain: found [-1.0], expected positive finite"),
        (lambda: ColourMetadata(EYE, ONE, ONE, 0 * ONE), "brightening: found [0.0]"),
        (lambda: ColourMetadata(EYE, ONE, ONE * math.inf, ONE), "blue_gain: found [inf]"),
        (lambda: mix_matrices(torch.ones(2, 3)), "weights: found shape (2, 3)"),
        (lambda: mix_matrices(torch.zeros(1, 4)), "weights: found"),
        (lambda: mix_matrices(torch.tensor([[1.0, -1.0, 1.0, 1.0]])), "finite numbers of at least 0"),
        (lambda: normalise_rows(torch.tensor([[1.0, -1.0, 0.0]] * 3)), "a row whose sum is 0"),
        (lambda: make_metadata(torch.eye(2), torch.ones(3)), "xyz_to_camera: found shape (2, 2)"),
        (lambda: make_metadata(torch.eye(3), torch.ones(4)), "white_balance: found shape (4,)"),
        (lambda: make_metadata(torch.eye(3), torch.tensor([1.0, 0.0, 1.0])), "positive gains of R, G, B"),
        (lambda: random_metadata(-1, generator=seeded()), "batch: found -1"),
        (lambda: random_noise_levels(-2, generator=seeded()), "batch: found -2"),
        (lambda: brooks_read(torch.tensor([1e-3, 0.0])), "shot: found 0"),
        (lambda: random_gamma(1, generator=seeded(), sd=-1), "random_gamma(sd): found -1"),
        (lambda: random_gamma(1, generator=seeded(), mean=0), "random_gamma(mean): found 0"),
        (lambda: random_metadata(1, generator=seeded()).jittered(generator=seeded(), gain_sd=math.nan), "gain_sd"),
        (lambda: random_metadata(1, generator=seeded()).jittered(generator=seeded(), matrix_sd=-1), "matrix_sd"),
        (lambda: join_metadata([]), "parts: found none"),
    ],
)
def test_bad_input_is_named_in_one_line(call, words):
    with pytest.raises(InputError) as caught:
        call()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
