import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from psf.errors import InputError
from render.bayer import (
    PATTERNS,
    PLANES,
    align,
    check_pattern,
    find_sites,
    flip_mosaic,
    mosaic,
    pack,
    shifted_pattern,
    unpack,
)

F64 = torch.float64
patterns = st.sampled_from(PATTERNS)
evens = st.integers(1, 6).map(lambda n: 2 * n)


def coloured(pattern, height, width):
    """A mosaic whose samples say their plane: 0 R, 1 Gr, 2 Gb, 3 B."""
    values = torch.empty(height, width, dtype=torch.int64)
    for plane, (row, col) in enumerate(find_sites(pattern)):
        values[row::2, col::2] = plane
    return values


@pytest.fixture(scope="module")
def golden(root):
    with np.load(root / "tests" / "data" / "unprocessing_isp.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_planes_are_red_the_greens_of_red_and_blue_rows_and_blue(pattern):
    red, green_red, green_blue, blue = find_sites(pattern)
    assert PLANES == ("R", "Gr", "Gb", "B")
    assert [pattern[2 * row + col] for row, col in (red, green_red, green_blue, blue)] == list("RGGB")
    assert green_red[0] == red[0]
    assert green_blue[0] == blue[0]


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("dtype", [F64, torch.float32])
def test_golden_planes_come_from_their_mosaics(golden, pattern, dtype):
    packed = golden["packed_" + pattern].to(dtype)
    whole = unpack(packed, pattern)
    assert pack(whole, pattern).equal(packed)
    # The stored rows of the picture that was mosaicked.
    kept = golden["u5_clipped"].permute(2, 0, 1).to(dtype)
    letters = np.array(list(pattern)).reshape(2, 2)
    for place, row in enumerate(golden["rows"].tolist()):
        for col in range(kept.shape[2]):
            channel = "RGB".index(letters[row % 2, col % 2])
            assert whole[row, col] == kept[channel, place, col]


def test_one_cell_reads_as_its_pattern_says():
    image = torch.tensor([10.0, 20.0, 30.0])[:, None, None] + torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    want = {"RGGB": (10, 21, 22, 33), "GRBG": (20, 11, 32, 23), "GBRG": (20, 31, 12, 23), "BGGR": (30, 21, 22, 13)}
    for pattern, values in want.items():
        assert tuple(mosaic(image, pattern).flatten().tolist()) == values


@given(patterns, st.lists(st.integers(0, 3), max_size=2), evens, evens)
def test_unpack_undoes_pack_and_the_other_way_round(pattern, lead, height, width):
    whole = torch.rand(*lead, height, width, generator=torch.Generator().manual_seed(1))
    packed = pack(whole, pattern)
    assert packed.shape == (*lead, 4, height // 2, width // 2)
    assert unpack(packed, pattern).equal(whole)
    assert pack(unpack(packed, "BGGR"), "BGGR").equal(packed)


@given(patterns, st.integers(2, 9), st.integers(2, 9))
def test_odd_sides_lose_their_last_line_when_asked(pattern, height, width):
    whole = torch.rand(height, width, generator=torch.Generator().manual_seed(1))
    even = whole[: height // 2 * 2, : width // 2 * 2]
    assert pack(whole, pattern, crop=True).equal(pack(even, pattern))


@given(patterns, st.integers(-3, 3), st.integers(-3, 3), st.integers(-3, 3), st.integers(-3, 3))
def test_a_crop_has_the_shifted_pattern(pattern, rows, cols, more_rows, more_cols):
    shifted = shifted_pattern(pattern, rows, cols)
    assert coloured(pattern, 14, 14)[4 + rows : 10 + rows, 4 + cols : 10 + cols].equal(coloured(shifted, 6, 6))
    assert shifted_pattern(shifted, more_rows, more_cols) == shifted_pattern(
        pattern, rows + more_rows, cols + more_cols
    )


@given(patterns, patterns, st.integers(3, 9), st.integers(3, 9))
def test_an_aligned_crop_has_the_target_pattern_and_even_sides(pattern, target, height, width):
    whole = coloured(pattern, height, width)
    crop = align(whole, pattern, target)
    rows, cols = crop.mosaic.shape
    assert rows % 2 == cols % 2 == 0
    assert crop.mosaic.equal(coloured(target, rows, cols))
    assert height - rows <= 2
    assert width - cols <= 2
    assert crop.mosaic.equal(whole[crop.top : crop.top + rows, crop.left : crop.left + cols])
    assert shifted_pattern(pattern, crop.top, crop.left) == target == crop.pattern


@given(patterns, st.integers(3, 9), st.integers(3, 9))
def test_a_restored_crop_has_its_size_and_its_pattern_again(pattern, height, width):
    whole = coloured(pattern, height, width)
    crop = align(whole, pattern)
    assert crop.restore(crop.mosaic).equal(whole)  # mirrored lines have the colours that were there
    rows, cols = crop.mosaic.shape
    changed = crop.restore(crop.mosaic + 10, border=whole)
    inside = changed >= 10
    assert inside.sum() == rows * cols
    assert (changed - 10 * inside).equal(whole)
    colours = torch.rand(2, 3, rows, cols, generator=torch.Generator().manual_seed(1))
    again = crop.restore(colours)
    assert again.shape == (2, 3, height, width)
    assert again[..., crop.top : crop.top + rows, crop.left : crop.left + cols].equal(colours)


@given(patterns, st.integers(3, 9), st.integers(3, 9), st.booleans(), st.booleans(), st.booleans())
def test_a_flipped_mosaic_keeps_its_pattern(pattern, height, width, up_down, left_right, even):
    whole = coloured(pattern, height, width)
    flipped = flip_mosaic(whole, up_down=up_down, left_right=left_right, even=even)
    assert flipped.equal(coloured(pattern, *flipped.shape))
    numbered = torch.arange(height * width).reshape(height, width)
    found = flip_mosaic(numbered, up_down=up_down, left_right=left_right, even=even)
    assert (found.diff(dim=0) == (-width if up_down else width)).all()
    assert (found.diff(dim=1) == (-1 if left_right else 1)).all()
    for before, after, wanted in ((height, flipped.shape[0], up_down), (width, flipped.shape[1], left_right)):
        largest = before - (before % 2 == 0) if wanted else before
        assert after == largest - (wanted and even)
        assert not (wanted and even) or after % 2 == 0


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "u4", "f2", "f4", "f8"])
def test_mosaics_of_files_keep_their_type(dtype):
    whole = torch.from_numpy(np.arange(48).reshape(6, 8).astype(dtype))
    packed = pack(whole, "GBRG")
    crop = align(whole, "GBRG")
    for found in (packed, unpack(packed, "GBRG"), crop.mosaic, crop.restore(crop.mosaic), flip_mosaic(whole)):
        assert found.dtype == whole.dtype
    assert (unpack(packed, "GBRG").numpy() == whole.numpy()).all()
    assert mosaic(whole.expand(3, 6, 8), "BGGR").dtype == whole.dtype


@pytest.mark.parametrize("pattern", PATTERNS)
def test_gradients_are_true(pattern):
    whole = torch.rand(2, 6, 8, dtype=F64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    image = torch.rand(2, 3, 4, 5, dtype=F64, generator=torch.Generator().manual_seed(2)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: mosaic(x, pattern), image)
    assert torch.autograd.gradcheck(lambda x: unpack(pack(x, pattern), pattern), whole)
    assert torch.autograd.gradcheck(lambda x: align(x, pattern).restore(align(x, pattern).mosaic), whole)
    assert torch.autograd.gradcheck(lambda x: align(x, pattern).restore(2 * align(x, pattern).mosaic, x), whole)
    assert torch.autograd.gradcheck(lambda x: flip_mosaic(x, up_down=True), whole)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: check_pattern("RGBG"), "pattern: found 'RGBG', expected one of RGGB, GRBG, GBRG, BGGR"),
        (lambda: mosaic(torch.ones(3, 4, 4), "rggb"), "pattern: found 'rggb'"),
        (lambda: mosaic(torch.ones(4, 4, 4), "RGGB"), "image: found shape (4, 4, 4)"),
        (lambda: mosaic(torch.ones(4, 4), "RGGB"), "image: found shape (4, 4)"),
        (lambda: pack(torch.ones(5, 4), "RGGB"), "mosaic: found 5 rows and 4 columns"),
        (lambda: pack(torch.ones(4, 7), "RGGB"), "or crop=True"),
        (lambda: pack(torch.ones(1, 7), "RGGB", crop=True), "at least 2 of both"),
        (lambda: pack(torch.ones(4), "RGGB"), "mosaic: found shape (4,)"),
        (lambda: pack(torch.ones(2, 0, 4), "RGGB"), "none of the sides 0"),
        (lambda: pack(np.ones((4, 4)), "RGGB"), "mosaic: found ndarray, expected a torch tensor"),
        (lambda: unpack(torch.ones(3, 4, 4), "RGGB"), "packed: found shape (3, 4, 4)"),
        (lambda: unpack(torch.ones(4, 4, 4), "XTRANS"), "pattern: found 'XTRANS'"),
        (lambda: align(torch.ones(2, 4), "GBRG"), "mosaic: found 2 x 4 px, expected a whole cell of RGGB"),
        (lambda: align(torch.ones(4, 4), "GBRG", "RGB"), "pattern: found 'RGB'"),
        (lambda: align(torch.ones(6, 6), "GBRG").restore(torch.ones(6, 6)), "expected (..., 4, 6), as the crop has"),
        (lambda: align(torch.ones(6, 6), "GBRG").restore(torch.ones(4, 6), torch.ones(4, 6)), "border: found"),
        (lambda: flip_mosaic(torch.ones(2, 6), up_down=True), "mosaic: found 2 rows"),
        (lambda: shifted_pattern("GGRB", 1, 1), "pattern: found 'GGRB'"),
    ],
)
def test_bad_input_is_named_in_one_line(call, words):
    with pytest.raises(InputError) as caught:
        call()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
