import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from psf.errors import InputError
from render.bayer import PATTERNS, mosaic, pack
from render.isp import (
    BAND_PX,
    apply_matrix,
    apply_tone,
    compress_gamma,
    expand_gamma,
    highlight_mask,
    inverse_gains,
    invert_tone,
    process,
    process_for_loss,
    process_linear,
    safe_gains,
    unprocess,
)
from render.metadata import ColourMetadata, join_metadata, mix_matrices, random_gamma, random_metadata

F64 = torch.float64
TOLERANCES = [(F64, 1e-12), (torch.float32, 1e-5)]  # the golden vectors' own


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def random(*shape, seed=0):
    return torch.rand(*shape, dtype=F64, generator=seeded(seed))


def planes(picture):
    """(H, W, 3) as (1, 3, H, W)."""
    return picture.permute(2, 0, 1)[None]


class Golden:
    """Excerpts of the golden vectors: some rows of every picture, but whole packed mosaics."""

    def __init__(self, arrays, rows):
        self.arrays, self.rows = arrays, rows

    def picture(self, name, dtype=F64):
        return planes(self.arrays[name]).to(dtype)

    def packed(self, pattern, dtype=F64):
        return self.arrays["packed_" + pattern][None].to(dtype)

    def metadata(self, dtype=F64):
        brightening, red, blue = self.arrays["gains"][:, None].to(dtype)
        return ColourMetadata(mix_matrices(self.arrays["ccm_weights"][None]).to(dtype), red, blue, brightening)

    def error(self, found, name):
        """Largest difference of a whole picture from the stored rows."""
        return (found[..., self.rows, :] - self.picture(name)).abs().max()


def load(path):
    with np.load(path) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files if file[name].dtype != np.uint16}


@pytest.fixture(scope="module", params=["excerpt", "whole"])
def golden(request, root):
    if request.param == "excerpt":
        arrays = load(root / "tests" / "data" / "unprocessing_isp.npz")
        return Golden(arrays, arrays["rows"])
    path = request.getfixturevalue("shared") / "golden" / "unprocessing_a.npz"
    if not path.is_file():
        pytest.skip("the folder 'shared' holds no golden vectors")
    return Golden(load(path), slice(None))


@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
def test_golden_steps_of_unprocess(golden, dtype, tolerance):
    metadata = golden.metadata(dtype)
    flat = invert_tone(golden.picture("srgb", dtype))
    linear = expand_gamma(flat)
    camera = apply_matrix(linear, metadata.rgb_to_camera)
    gains = safe_gains(camera, inverse_gains(metadata))
    found = {"u1_inv_tone": flat, "u2_linear": linear, "u3_camera": camera, "u4_safe_gains": gains}
    for name, picture in {**found, "u4_gained": camera * gains}.items():
        assert picture.dtype == dtype
        assert (picture - golden.picture(name)).abs().max() < tolerance, name
    assert (highlight_mask(camera)[0, 0] - golden.arrays["u4_mask"]).abs().max() < tolerance


@pytest.mark.parametrize("wants_gradient", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
def test_golden_unprocess(golden, dtype, tolerance, wants_gradient):
    srgb, metadata = golden.picture("srgb", dtype).requires_grad_(wants_gradient), golden.metadata(dtype)
    for clip, name in ((True, "u5_clipped"), (False, "u4_gained")):
        found = unprocess(srgb, metadata, clip=clip)
        assert found.dtype == dtype
        assert (found.detach() - golden.picture(name)).abs().max() < tolerance


@pytest.mark.parametrize("wants_gradient", [False, True])
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
def test_golden_process(golden, pattern, dtype, tolerance, wants_gradient):
    packed, metadata = golden.packed(pattern, dtype).requires_grad_(wants_gradient), golden.metadata(dtype)
    assert golden.error(process(packed, metadata, pattern=pattern).detach(), "process22_" + pattern) < tolerance
    found = process_for_loss(packed, metadata, pattern=pattern).detach()
    assert found.dtype == dtype
    assert golden.error(found, "process20_" + pattern) < tolerance
    if pattern == "RGGB":
        found = process(packed, metadata, gamma=2.0, demosaic="malvar").detach()
        assert golden.error(found, "process20_malvar_RGGB") < tolerance
        assert golden.error(process(packed, metadata, full=True).detach(), "process_full_RGGB") < tolerance


@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
def test_golden_roundtrip_without_a_mosaic(golden, dtype, tolerance):
    srgb, metadata = golden.picture("srgb", dtype), golden.metadata(dtype)
    camera = unprocess(srgb, metadata)
    assert (process_linear(camera, metadata, full=True, clip=False) - golden.picture("roundtrip_rgb")).abs().max() < (
        tolerance
    )
    for clip in (True, False):
        error = (process_linear(camera, metadata, full=True, clip=clip) - srgb).abs().amax(1)[0]
        # The floor of the gamma shows at black; float32 brings its own rounding.
        assert error[golden.arrays["roundtrip_ok"]].max() < (2e-7 if dtype == F64 else 1e-6)


@given(st.integers(0, 2**20))
def test_full_process_undoes_unprocess_where_nothing_was_cut(seed):
    metadata = random_metadata(2, generator=seeded(seed), dtype=F64)
    srgb = random(2, 3, 6, 7, seed=seed)
    camera = unprocess(srgb, metadata, clip=False)
    linear = apply_matrix(expand_gamma(invert_tone(srgb)), metadata.rgb_to_camera)
    whole = ((camera >= 0) & (camera <= 1) & (highlight_mask(linear) == 0)).all(1)
    lifted = camera / inverse_gains(metadata)[..., None, None]
    whole &= (lifted <= 1).all(1)
    error = (process_linear(camera.clamp(0, 1), metadata, full=True) - srgb).abs().amax(1)
    assert error[whole].max() < 2e-7


def test_the_short_process_is_darker_and_flatter_than_the_picture():
    metadata = random_metadata(1, generator=seeded(2), dtype=F64)
    metadata = ColourMetadata(
        metadata.rgb_to_camera, metadata.red_gain, metadata.blue_gain, torch.tensor([1.3], dtype=F64)
    )
    srgb = torch.linspace(0.3, 0.9, 24, dtype=F64).expand(1, 3, 4, 24)
    short = process_linear(unprocess(srgb, metadata), metadata)
    assert (short < srgb).float().mean() > 0.5
    assert (short.amax() - short.amin()) < (srgb.amax() - srgb.amin())


def test_grey_stays_grey_and_white_stays_white():
    metadata = random_metadata(5, generator=seeded(2), dtype=F64)
    grey = torch.full((5, 3, 4, 6), 0.5, dtype=F64)
    back = process(pack(mosaic(unprocess(grey, metadata), "RGGB"), "RGGB"), metadata, full=True)
    assert (back - 0.5).abs().max() < 1e-12
    assert (unprocess(torch.ones(5, 3, 4, 6, dtype=F64), metadata) - 1).abs().max() < 1e-12


def test_safe_gains_are_the_formula_and_never_below_the_gains():
    camera = 1.3 * random(2, 3, 9, 8)
    gains = torch.tensor([[0.4, 0.8, 0.5], [1.2, 1.5, 0.9]], dtype=F64)
    g, m = gains[..., None, None], ((camera.mean(1, keepdim=True) - 0.9).clamp_min(0) / 0.1) ** 2
    assert (m > 1).any()
    found = safe_gains(camera, gains)
    assert (found - torch.maximum(m + (1 - m) * g, g)).abs().max() < 1e-14
    assert (found >= g).all()


@given(st.floats(0, 1))
def test_tone_curve_and_its_inverse(level):
    values = torch.tensor([[[[level]]]], dtype=F64)
    assert abs(apply_tone(invert_tone(values)) - level) < 1e-15
    assert abs(compress_gamma(expand_gamma(values)) - max(level, 1e-8 ** (1 / 2.2))) < 1e-15  # the floor of the light


def test_eight_bits_are_the_floats_they_stand_for():
    metadata = random_metadata(2, generator=seeded(1), dtype=F64)
    levels = torch.randint(0, 256, (2, 3, 20, 30), dtype=torch.uint8, generator=seeded(1))
    assert (unprocess(levels, metadata) - unprocess(levels.to(F64) / 255, metadata)).abs().max() < 1e-15
    single = metadata.to(dtype=torch.float32)
    assert unprocess(levels, single).dtype == torch.float32
    assert (unprocess(levels, single) - unprocess(levels.float() / 255, single)).abs().max() < 1e-6


@pytest.mark.parametrize("kind", ["floats", "bytes"])
def test_the_way_without_gradients_says_the_same(kind):
    wide = BAND_PX // 4 + 3  # several bands, the last one narrow
    metadata = random_metadata(2, generator=seeded(1), dtype=F64)
    srgb = torch.randint(0, 256, (2, 3, 9, wide), dtype=torch.uint8, generator=seeded(1))
    srgb = srgb if kind == "bytes" else srgb.to(F64) / 255
    watched = ColourMetadata(
        metadata.rgb_to_camera.clone().requires_grad_(), *(metadata.red_gain, metadata.blue_gain, metadata.brightening)
    )
    for clip in (True, False):
        found, slow = unprocess(srgb, metadata, clip=clip), unprocess(srgb, watched, clip=clip)
        assert slow.requires_grad
        assert (found - slow).abs().max() < 1e-14
    packed = 1.2 * random(2, 4, 6, 8) - 0.1
    gamma = torch.tensor([2.0, 2.3], dtype=F64)
    for keywords in ({}, {"full": True}, {"gamma": gamma}, {"gradient_floor": 1e-3}):
        found, slow = process(packed, metadata, **keywords), process(packed, watched, **keywords)
        assert slow.requires_grad
        assert (found - slow).abs().max() < 1e-14


def test_inputs_are_left_as_they_were():
    metadata = random_metadata(2, generator=seeded(1), dtype=F64)
    srgb, packed = random(2, 3, 6, 8), random(2, 4, 6, 8) * 2 - 0.5
    before = [srgb.clone(), packed.clone()]
    unprocess(srgb, metadata)
    process(packed, metadata, full=True)
    process_linear(srgb, metadata, full=True, clip=False)
    assert srgb.equal(before[0])
    assert packed.equal(before[1])


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_batch_is_its_pictures_one_by_one(pattern):
    metadata = random_metadata(3, generator=seeded(1), dtype=F64)
    srgb, packed = random(3, 3, 8, 6), random(3, 4, 4, 3, seed=1)
    gamma = random_gamma(3, generator=seeded(2), dtype=F64)
    camera, developed = unprocess(srgb, metadata), process(packed, metadata, pattern=pattern, gamma=gamma)
    for n, one in enumerate(metadata):
        assert (camera[n] - unprocess(srgb[n : n + 1], one)[0]).abs().max() < 1e-14
        found = process(packed[n : n + 1], one, pattern=pattern, gamma=float(gamma[n]))
        assert (developed[n] - found[0]).abs().max() < 1e-14
    shared = join_metadata([metadata[0]] * 3)
    assert (unprocess(srgb, metadata[0]) - unprocess(srgb, shared)).abs().max() < 1e-15
    assert (process(packed, metadata[0]) - process(packed, shared)).abs().max() < 1e-15
    assert unprocess(srgb[:0], metadata[:0]).shape == (0, 3, 8, 6)
    assert process(packed[:0], metadata[0]).shape == (0, 3, 8, 6)


def numbers_of(metadata):
    held = (metadata.rgb_to_camera, metadata.red_gain, metadata.blue_gain, metadata.brightening)
    return [values.clone().requires_grad_() for values in held]


def test_gradients_of_unprocess_are_true():
    numbers = numbers_of(random_metadata(2, generator=seeded(1), dtype=F64))
    srgb = (0.05 + 0.8 * random(2, 3, 2, 2)).requires_grad_()
    srgb.data[0, :, 0, 0] = 0.985  # a protected highlight
    assert torch.autograd.gradcheck(lambda x, *held: unprocess(x, ColourMetadata(*held), clip=False), (srgb, *numbers))
    assert torch.autograd.gradgradcheck(lambda x: invert_tone(x), srgb)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_gradients_of_process_are_true(pattern):
    numbers = numbers_of(random_metadata(2, generator=seeded(1), dtype=F64))
    packed = (0.1 + 0.2 * random(2, 4, 2, 2)).requires_grad_()
    gamma = torch.tensor([2.0, 2.2], dtype=F64, requires_grad=True)

    def develop(packed, gamma, *held):
        return process(packed, ColourMetadata(*held), pattern=pattern, gamma=gamma, full=True)

    assert torch.autograd.gradcheck(develop, (packed, gamma, *numbers), fast_mode=True)
    short = (packed, *numbers)
    assert torch.autograd.gradcheck(
        lambda x, *held: process_for_loss(x, ColourMetadata(*held), pattern=pattern), short, fast_mode=True
    )


@pytest.mark.parametrize("dtype", [F64, torch.float32])
def test_gradients_at_black_and_white_and_beyond_are_finite(dtype):
    metadata = random_metadata(1, generator=seeded(1), dtype=dtype)
    srgb = torch.tensor([0.0, 1e-9, 1e-6, 0.5, 1 - 1e-6, 1.0], dtype=dtype).expand(1, 3, 2, 6).clone().requires_grad_()
    unprocess(srgb, metadata, clip=False).sum().backward()
    assert srgb.grad.isfinite().all()
    # 1 / (6 y (1 - y)) with y = sqrt(1e-6 / 3) is 289: nothing is steeper.
    (slope,) = torch.autograd.grad(invert_tone(srgb).sum(), srgb)
    assert slope.max() < 290
    assert slope[0, 0, 0, 0] == pytest.approx(288.8, rel=1e-3)
    for develop in (process, process_for_loss):
        packed = (
            torch.tensor([-0.1, 0.0, 1e-9, 1e-3, 1.0, 1.5], dtype=dtype).expand(1, 4, 6, 6).clone().requires_grad_()
        )
        develop(packed, metadata).sum().backward()
        assert packed.grad.isfinite().all()


def test_the_floor_of_the_gradient_changes_the_slope_and_not_the_value():
    light = torch.tensor([-1e-3, 0.0, 1e-9, 1e-6, 1e-4, 1e-2, 1.0], dtype=F64)[None, None, None].requires_grad_()
    floored, plain = compress_gamma(light, 2.0, gradient_floor=1e-4), compress_gamma(light, 2.0)
    assert floored.equal(plain)
    (slope,) = torch.autograd.grad(floored.sum(), light)
    assert slope.flatten().tolist() == pytest.approx([50, 50, 50, 50, 50, 5, 0.5], rel=1e-12)
    (slope,) = torch.autograd.grad(plain.sum(), light)
    assert slope.flatten().tolist() == pytest.approx([0, 0, 0, 500, 50, 5, 0.5], rel=1e-12)


def test_slopes_of_the_loss_fit_into_half_precision():
    metadata = random_metadata(1, generator=seeded(1))
    packed = torch.zeros(1, 4, 8, 8, dtype=torch.float16).requires_grad_()
    process_for_loss(packed.float(), metadata).sum().backward()
    assert packed.grad.isfinite().all()
    assert packed.grad.abs().max() > 0  # and black is not cut off


def test_colours_do_not_lose_bits_under_autocast():
    metadata = random_metadata(1, generator=seeded(1))
    packed = torch.rand(1, 4, 8, 8, generator=seeded(1)).requires_grad_()
    want = process_for_loss(packed, metadata)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = process_for_loss(packed, metadata)
    assert found.dtype == torch.float32
    assert (found - want).abs().max() < 1e-6


def spoiled(shape, value):
    values = torch.full(shape, 0.5)
    values[0, 0, 1, 1] = value
    return values


METADATA = random_metadata(1, generator=seeded())
SRGB, PACKED = (1, 3, 4, 6), (1, 4, 4, 6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: unprocess(torch.ones(3, 4, 6), METADATA), "srgb: found shape (3, 4, 6)"),
        (lambda: unprocess(torch.ones(1, 4, 4, 6), METADATA), "expected shape (B, 3, H, W)"),
        (lambda: unprocess(torch.ones(1, 3, 0, 6), METADATA), "at least one pixel"),
        (lambda: unprocess(torch.ones(SRGB).half(), METADATA), "srgb: found torch.float16"),
        (lambda: unprocess(torch.ones(SRGB, dtype=torch.int16), METADATA), "or torch.uint8"),
        (lambda: unprocess(np.ones(SRGB), METADATA), "srgb: found ndarray"),
        (lambda: unprocess(spoiled(SRGB, 1.01), METADATA), "srgb: found 1 values outside 0..1 or NaN (0.5 to 1.01)"),
        (lambda: unprocess(spoiled(SRGB, -1e-3), METADATA), "srgb: found 1 values outside 0..1"),
        (lambda: unprocess(spoiled(SRGB, math.nan), METADATA), "srgb: found 1 values outside 0..1 or NaN"),
        (lambda: unprocess(spoiled(SRGB, math.inf), METADATA), "(0.5 to inf)"),
        (lambda: unprocess(torch.ones(SRGB).double(), METADATA), "metadata: found torch.float32"),
        (
            lambda: unprocess(torch.ones(3, 3, 4, 6), METADATA.repeated(2)),
            "metadata: found 2 pictures, expected 1 or 3",
        ),
        (lambda: process(torch.ones(SRGB), METADATA), "packed: found shape (1, 3, 4, 6)"),
        (lambda: process(torch.ones(PACKED).bfloat16(), METADATA), "packed: found torch.bfloat16"),
        (lambda: process(spoiled(PACKED, math.nan), METADATA), "packed: found 1 values that are NaN or infinite"),
        (lambda: process(torch.ones(PACKED), METADATA, pattern="RGBG"), "pattern: found 'RGBG'"),
        (lambda: process(torch.ones(PACKED), METADATA, demosaic="ahd"), "demosaic: found 'ahd'"),
        (lambda: process(torch.ones(1, 4, 1, 1), METADATA, demosaic="malvar"), "at least 3 for malvar"),
        (lambda: process(torch.ones(PACKED), METADATA, gamma=0.0), "gamma: found 0.0"),
        (lambda: process(torch.ones(PACKED), METADATA, gamma=math.nan), "gamma: found nan"),
        (lambda: process(torch.ones(PACKED), METADATA, gamma=torch.ones(2)), "gamma: found shape (2,)"),
        (lambda: process(torch.ones(PACKED), METADATA, gamma=torch.ones(1).double()), "gamma: found torch.float64"),
        (lambda: process(torch.ones(PACKED), METADATA, gradient_floor=0.0), "gradient_floor: found 0.0"),
        (lambda: process_linear(torch.ones(PACKED), METADATA), "camera: found shape (1, 4, 4, 6)"),
        (lambda: process_linear(spoiled(SRGB, math.inf), METADATA), "camera: found 1 values"),
        (lambda: process_for_loss(torch.ones(PACKED), METADATA, gradient_floor=2.0), "gradient_floor: found 2.0"),
        (lambda: apply_matrix(torch.ones(SRGB), torch.eye(3)), "matrix: found shape (3, 3)"),
        (lambda: apply_matrix(torch.ones(PACKED), torch.eye(3)[None]), "image: found shape (1, 4, 4, 6)"),
        (lambda: safe_gains(torch.ones(SRGB), torch.ones(3)), "gains: found shape (3,)"),
        (lambda: highlight_mask(torch.ones(3, 4)), "camera: found shape (3, 4)"),
    ],
)
def test_bad_input_is_named_in_one_line(call, words):
    with pytest.raises(InputError) as caught:
        call()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
