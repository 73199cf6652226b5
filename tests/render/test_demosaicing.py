import itertools

import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given
from hypothesis import strategies as st

from psf.errors import InputError
from render.bayer import PATTERNS, flip_mosaic, mosaic
from render.demosaicing import METHODS, demosaic, find_taps, sum_slices

F64 = torch.float64
CASES = list(itertools.product(PATTERNS, METHODS))
TOLERANCES = [(F64, 1e-12), (torch.float32, 1e-5)]  # the golden vectors' own

GREEN = np.array([[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]]) / 8
ROW = np.array([[0, 0, 1, 0, 0], [0, -2, 0, -2, 0], [-2, 8, 10, 8, -2], [0, -2, 0, -2, 0], [0, 0, 1, 0, 0]]) / 16
OTHER = np.array([[0, 0, -3, 0, 0], [0, 4, 0, 4, 0], [-3, 0, 12, 0, -3], [0, 4, 0, 4, 0], [0, 0, -3, 0, 0]]) / 16


def random(*shape, seed=0):
    return torch.rand(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def demosaic_slowly(values, pattern, method):
    """Whole pictures masked and correlated, as the definitions read; values (H, W)."""
    height, width = values.shape
    letters = np.tile(np.array(list(pattern)).reshape(2, 2), (height // 2 + 1, width // 2 + 1))[:height, :width]

    def correlate(picture, weights):
        return scipy.ndimage.correlate(picture, weights, mode="mirror")

    if method == "bilinear":
        green, other = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 4, np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4
        return np.stack([correlate(values * (letters == c), green if c == "G" else other) for c in "RGB"])
    red_rows = (letters == "R").any(1, keepdims=True)
    planes = {c: np.where(letters == c, values, correlate(values, GREEN)) for c in "RGB"}
    for colour in "RB":
        along, down, diagonal = correlate(values, ROW), correlate(values, ROW.T), correlate(values, OTHER)
        own_row = red_rows if colour == "R" else ~red_rows
        at_green = np.where(own_row, along, down)
        planes[colour] = np.where(letters == colour, values, np.where(letters == "G", at_green, diagonal))
    return np.stack([planes[c] for c in "RGB"])


@pytest.fixture(scope="module")
def golden(root):
    with np.load(root / "tests" / "data" / "unprocessing_isp.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.fixture(scope="module")
def whole_golden(shared):
    path = shared / "golden" / "unprocessing_a.npz"
    if not path.is_file():
        pytest.skip("the folder 'shared' holds no golden vectors")
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}


def unpacked(planes, pattern):
    values = np.empty((2 * planes.shape[1], 2 * planes.shape[2]))
    row, col = divmod(pattern.index("R"), 2)
    for plane, (i, j) in zip(planes, [(row, col), (row, 1 - col), (1 - row, col), (1 - row, 1 - col)], strict=True):
        values[i::2, j::2] = plane
    return torch.from_numpy(values)


@pytest.mark.parametrize(("pattern", "method"), CASES)
@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
def test_golden_vectors(golden, pattern, method, dtype, tolerance):
    values = unpacked(golden["packed_" + pattern], pattern).to(dtype)
    found = demosaic(values, pattern, method)
    assert found.dtype == dtype
    rows = found.permute(1, 2, 0).numpy()[golden["rows"]]  # the stored ones, the outermost among them
    assert np.abs(rows - golden[f"{method}_{pattern}"]).max() < tolerance


@pytest.mark.parametrize(("pattern", "method"), CASES)
def test_whole_golden_vectors(whole_golden, pattern, method):
    found = demosaic(torch.from_numpy(whole_golden["mosaic_" + pattern]), pattern, method)
    assert np.abs(found.permute(1, 2, 0).numpy() - whole_golden[f"{method}_{pattern}"]).max() < 1e-12


@pytest.mark.parametrize(("pattern", "method"), CASES)
def test_golden_impulses_show_every_coefficient(golden, pattern, method):
    values = torch.zeros(16, 16, dtype=F64)
    values[8, 8] = 1
    found = demosaic(values, pattern, method).permute(1, 2, 0).numpy()
    assert np.abs(found - golden[f"impulse_{method}_{pattern}"]).max() < 1e-15


@given(st.sampled_from(CASES), st.integers(3, 11), st.integers(3, 11), st.integers(0, 2**20))
def test_any_size_is_what_the_definition_says(case, height, width, seed):
    values = random(height, width, seed=seed)
    assert np.abs(demosaic(values, *case).numpy() - demosaic_slowly(values.numpy(), *case)).max() < 1e-14


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("shape", [(2, 2), (2, 5), (4, 2)])
def test_bilinear_needs_two_lines_only(pattern, shape):
    values = random(*shape)
    assert (
        np.abs(demosaic(values, pattern).numpy() - demosaic_slowly(values.numpy(), pattern, "bilinear")).max() < 1e-14
    )


@pytest.mark.parametrize(("pattern", "method"), CASES)
def test_measured_samples_are_kept(pattern, method):
    values = random(10, 13)
    assert mosaic(demosaic(values, pattern, method), pattern).equal(values)


@pytest.mark.parametrize(("pattern", "method"), CASES)
def test_constants_and_grey_ramps_are_exact(pattern, method):
    assert (demosaic(torch.full((9, 12), 0.3, dtype=F64), pattern, method) - 0.3).abs().max() < 1e-15
    rows, cols = torch.meshgrid(torch.arange(20, dtype=F64), torch.arange(30, dtype=F64), indexing="ij")
    ramp = 0.1 + 0.01 * cols + 0.005 * rows
    assert (demosaic(ramp, pattern, method) - ramp)[:, 2:-2, 2:-2].abs().max() < 1e-15


@pytest.mark.parametrize(("pattern", "method"), CASES)
def test_a_mirrored_mosaic_gives_the_mirrored_picture(pattern, method):
    values = random(11, 13)
    want = demosaic(values, pattern, method).flip(-1, -2)
    flipped = flip_mosaic(values, up_down=True, left_right=True, even=False)  # odd sides keep all lines
    assert (demosaic(flipped, pattern, method) - want).abs().max() < 1e-15


def test_malvar_is_sharper_than_bilinear_and_may_overshoot():
    edge = torch.zeros(16, 16, dtype=F64)
    edge[:, 8:] = 1
    errors = [(demosaic(edge, "RGGB", method) - edge).square().mean() for method in METHODS]
    assert errors[1] < 0.6 * errors[0]
    assert demosaic(edge, "RGGB", "malvar").max() > 1
    assert demosaic(edge, "RGGB", "bilinear").max() == 1


def test_leading_dimensions_are_batches():
    values = random(2, 3, 8, 10)
    found = demosaic(values, "GBRG", "malvar")
    assert found.shape == (2, 3, 3, 8, 10)
    assert found[1, 2].equal(demosaic(values[1, 2], "GBRG", "malvar"))
    assert demosaic(values[:0], "GBRG").shape == (0, 3, 3, 8, 10)


@pytest.mark.parametrize(("pattern", "method"), CASES)
def test_gradients_are_true(pattern, method):
    values = random(2, 5, 6).requires_grad_()

    def colours(x):
        return demosaic(x, pattern, method)

    assert torch.autograd.gradcheck(colours, values, fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda x: colours(x) ** 2, values, fast_mode=True)


@pytest.mark.parametrize(("pattern", "method"), CASES)
def test_other_devices_operations_have_the_same_gradients(pattern, method):
    padded, given = random(2, 10, 11), random(2, 3, 6, 7, seed=1)
    slow = padded.clone().requires_grad_()
    (sum_slices(slow, find_taps(pattern, method)) * given).sum().backward()
    values = random(2, 6, 7).requires_grad_()
    (demosaic(values, pattern, method) * given).sum().backward()
    inside = random(2, 6, 7).requires_grad_()
    reflected = torch.nn.functional.pad(inside, (2, 2, 2, 2), mode="reflect")
    (sum_slices(reflected, find_taps(pattern, method)) * given).sum().backward()
    assert (values.grad - inside.grad).abs().max() < 1e-14


def spoiled(value):
    values = torch.ones(6, 6)
    values[2, 3] = value
    return values


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pattern": "RGBG"}, "pattern: found 'RGBG', expected one of RGGB, GRBG, GBRG, BGGR"),
        ({"method": "ahd"}, "demosaic: found 'ahd', expected 'bilinear' or 'malvar'"),
        ({"mosaic": torch.ones(6)}, "mosaic: found shape (6,)"),
        ({"mosaic": torch.ones(1, 6)}, "H and W at least 2 for bilinear"),
        ({"mosaic": torch.ones(6, 2), "method": "malvar"}, "H and W at least 3 for malvar"),
        ({"mosaic": torch.ones(6, 6, dtype=torch.int32)}, "mosaic: found torch.int32"),
        ({"mosaic": torch.ones(6, 6, dtype=torch.float16)}, "mosaic: found torch.float16"),
        ({"mosaic": np.ones((6, 6))}, "mosaic: found ndarray"),
        ({"mosaic": spoiled(np.nan)}, "mosaic: found 1 values that are NaN or infinite"),
        ({"mosaic": spoiled(np.inf)}, "mosaic: found 1 values that are NaN or infinite"),
    ],
)
def test_bad_input_is_named_in_one_line(change, words):
    with pytest.raises(InputError) as caught:
        demosaic(**{"mosaic": torch.ones(6, 6), "pattern": "RGGB", **change})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
