"""Compiled tile loops, one by one, against numpy."""

import numpy as np
import pytest

from render import tile_loops

# Two tiles of one row of tiles, the second narrower: sample, first row, first column, rows, columns.
WHERE = np.array([[1, 2, 3, 5, 6], [0, 2, 9, 5, 4]])
START = np.array([0, 2, 5])
NUMBERS = np.array([0, 1, 1, 2, 3], np.int32)


def random(*shape, is_complex=False, seed=0):
    rng = np.random.default_rng([seed, *shape])
    values = rng.standard_normal(shape)
    return values + 1j * rng.standard_normal(shape) if is_complex else values


def pairs_setting():
    spot = np.stack([WHERE[:, [0, 0]], WHERE[:, 1:3], WHERE[:, 1:3], np.zeros((2, 2), np.int64), WHERE[:, 3:]], 1)
    spot[:, 0, 1] = [0, 1]
    before = np.random.default_rng(3).integers(0, 3, (2, 12, 16)).astype(np.int32)
    weights = random(2, 2, 3, 5, 6)
    sums = np.abs(random(5, 3, 4)) + np.array([2, 0, 0, 0])
    return spot, before, weights, sums


def test_windows_multiply_a_tile_with_its_margin():
    picture, windows = random(2, 3, 20, 30), random(2, 2, 10)
    out = np.full((2, 2, 3, 9, 16), np.nan)
    tile_loops.window_across(picture, WHERE, np.array([1, 2]), 4, windows, out)
    for t, (sample, top, left, _, width) in enumerate(WHERE):
        part = picture[sample, :, 1 + top : 10 + top, 2 + left : 2 + left + width + 4]
        for b in (0, 1):
            assert np.array_equal(out[t, b, :, :, : width + 4], part * windows[t, b, : width + 4])
            assert not out[t, b, :, :, width + 4 :].any()
    lines, down = random(2, 2, 3, 9, 7, is_complex=True), random(2, 9)
    found = np.full((2, 2, 2, 3, 12, 7), np.nan, complex)
    tile_loops.window_down(lines, down, found)
    assert np.allclose(found[:, :, :, :, :9], lines[:, None] * down[None, :, None, None, :, None], atol=1e-14)
    assert not found[:, :, :, :, 9:].any()


@pytest.mark.parametrize("is_conjugate", [False, True])
def test_products_over_corners_and_their_transpose(is_conjugate):
    windowed, pairs = random(2, 2, 2, 3, 4, 5, is_complex=True), random(5, 3, 4, 5, is_complex=True)
    upper, lower = random(6, 3, 4, 5, is_complex=True), random(7, 3, 4, 5, is_complex=True)
    index = np.random.default_rng(1).integers(0, 6, (2, 2, 5))
    owner = np.repeat([0, 1], np.diff(START))
    corners = np.stack([[one[index[a, b]] for b in (0, 1)] for a, one in enumerate((upper, lower))])
    corners = corners.conj() if is_conjugate else corners
    out = np.empty((5, 3, 4, 5), complex)
    multiply = tile_loops.multiply_back if is_conjugate else tile_loops.multiply
    multiply(windowed, owner, upper, lower, index, out)
    assert np.allclose(out, np.einsum("nabcyx,abncyx->ncyx", windowed[owner], corners))
    gathered = np.empty((2, 2, 2, 3, 4, 5), complex)
    tile_loops.collect(pairs, START, upper, lower, index, is_conjugate, gathered)
    for t in (0, 1):
        own = slice(START[t], START[t + 1])
        assert np.allclose(gathered[t], np.einsum("ncyx,abncyx->abcyx", pairs[own], corners[:, :, own]))


def test_corner_gradients_are_added_to_the_kernels_that_they_belong_to():
    first, second = random(1, 3, 4, 5, is_complex=True), random(2, 3, 4, 5, is_complex=True)
    out = np.zeros((4, 3, 4, 5), complex)
    tile_loops.add_corner(first, second, np.array([3, 1]), out)
    assert np.allclose(out[[3, 1]], first.conj() * second)
    assert not out[[0, 2]].any()


def test_windows_are_summed_on_the_way_out():
    corners, down = random(2, 2, 2, 3, 8, 5, is_complex=True), random(2, 6)
    lines = np.empty((2, 2, 3, 6, 5), complex)
    tile_loops.sum_down(corners, down, lines)
    assert np.allclose(lines, np.einsum("ay,tabcyx->tbcyx", down, corners[:, :, :, :, :6]))
    parts, across = random(2, 2, 3, 6, 9), random(2, 2, 7)
    out = np.empty((2, 3, 6, 7))
    tile_loops.sum_across(parts, across, out)
    assert np.allclose(out, np.einsum("tbx,tbcyx->tcyx", across, parts[..., :7]))


@pytest.mark.parametrize("sign", [1, -1])
def test_four_moments_tell_what_interpolated_kernels_sum_to(sign):
    # One tile, one plane: windows at o - sign d times corner kernels, summed by brute force.
    kernels = random(4, 1, 5, 5)
    moments = np.empty((4, 1, 2, 2))
    tile_loops.moments_of(kernels, moments)
    ends = np.array([[[0.1, 0.2], [0.05, 0.125]]])
    index = np.arange(4).reshape(2, 2, 1)
    sums = np.empty((1, 1, 4))
    tile_loops.sum_moments(moments, moments, index, np.array([0, 1]), ends, sign, sums)
    for y, x in ((0, 0), (3, 1), (2, 4)):
        total = 0.0
        for dy in range(-2, 3):
            for dx in range(-2, 3):
                v, u = (e[0] + e[1] * p for e, p in zip(ends[0], (y - sign * dy, x - sign * dx), strict=True))
                for n, weight in enumerate(((1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u)):
                    total += weight * kernels[n, 0, 2 + dy, 2 + dx]
        s, sx, sy, sxy = sums[0, 0]
        assert abs(s + sx * x + (sy + sxy * x) * y - total) < 1e-12


def test_gradients_of_sums_go_back_to_the_moments():
    moments, ends = random(4, 2, 2, 2), np.array([[[0.1, 0.2], [0.05, 0.125]]])
    index, given = np.arange(4).reshape(2, 2, 1), random(1, 2, 4)
    found = np.zeros_like(moments)
    for a in (0, 1):
        for b in (0, 1):
            tile_loops.spread_moments(given, index[a, b], a, b, ends[0], -1, found)
    # The sums are linear in the moments.
    sums = np.empty((1, 2, 4))
    tile_loops.sum_moments(moments, moments, index, np.array([0, 1]), ends, -1, sums)
    assert abs((given * sums).sum() - (found * moments).sum()) < 1e-12


def test_pairs_are_weighed_and_added_where_their_planes_are():
    spot, before, weights, sums = pairs_setting()
    values, out = random(5, 3, 5, 12), np.zeros((2, 3, 12, 16))
    tile_loops.add_pairs(values, 2, START, NUMBERS, spot, before, weights, sums, out)
    light = random(2, 3, 12, 16)
    weighed = np.empty((5, 3, 10, 12))
    tile_loops.weigh_pairs(light, 3, START, NUMBERS, spot, before, weights, sums, weighed)
    expected, placed = np.zeros_like(out), np.zeros_like(weighed)
    for t, (sample, top, left, height, width) in enumerate(WHERE):
        y, x = np.arange(height)[:, None], np.arange(width)
        place = (sample, slice(None), slice(top, top + height), slice(left, left + width))
        first = before[sample, top : top + height, left : left + width]
        for n in range(START[t], START[t + 1]):
            low, high = weights[t, :, :, :height, :width]
            weight = np.where(first == NUMBERS[n], low, np.where(first + 1 == NUMBERS[n], high, 0))
            s = sums[n][:, :, None, None]
            weight = weight / (s[:, 0] + s[:, 1] * x + (s[:, 2] + s[:, 3] * x) * y)
            expected[place] += weight * values[n, :, :, 2 : 2 + width]
            placed[n, :, 3 : 3 + height, 3 : 3 + width] = weight * light[place]
    assert np.allclose(out, expected)
    assert np.allclose(weighed, placed)


def test_gradients_of_pairs_by_weights_and_sums_are_differences():
    spot, before, weights, sums = pairs_setting()
    values, given = random(5, 3, 5, 12), random(2, 3, 12, 16)
    to_weights, to_sums = np.zeros_like(weights), np.empty_like(sums)
    tile_loops.slope_pairs(values, 2, START, NUMBERS, spot, before, weights, sums, given, to_weights, to_sums)

    def loss(weights, sums):
        out = np.zeros((2, 3, 12, 16))
        tile_loops.add_pairs(values, 2, START, NUMBERS, spot, before, weights, sums, out)
        return (out * given).sum()

    direction = random(*weights.shape, seed=7)
    up, down = (loss(weights + s * 1e-6 * direction, sums) for s in (1, -1))
    assert abs((up - down) / 2e-6 - (to_weights * direction).sum()) < 1e-5 * np.abs(to_weights * direction).sum()
    direction = random(*sums.shape, seed=7)
    up, down = (loss(weights, sums + s * 1e-6 * direction) for s in (1, -1))
    assert abs((up - down) / 2e-6 - (to_sums * direction).sum()) < 1e-5 * np.abs(to_sums * direction).sum()


def test_tiles_know_the_planes_of_their_pixels():
    before, share = np.zeros((1, 2, 4), np.int32), np.zeros((1, 2, 4))
    before[0, 1, 3], share[0, 0, 1], share[0, 0, 2] = 1, 0.5, 1
    out = np.zeros((1, 1, 2, 3), bool)
    tile_loops.mark(before, share, np.zeros(2, np.int64), np.array([0, 0, 1, 1]), out)
    assert out[0, 0].tolist() == [[True, True, False], [True, True, False]]
