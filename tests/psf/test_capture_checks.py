import functools
import math

import pytest
import torch

from psf.capture_checks import AIRY_UM, check_captures
from psf.captures import Captures
from psf.errors import InputError

K = 17
SENSOR = (600, 800)
F64 = torch.float64


@functools.cache
def leaves(size, seed=0):
    """Squares of random light over one another: edges at every scale."""
    generator = torch.Generator().manual_seed(seed)
    picture = torch.full((size, size), 0.5, dtype=F64)
    for x, y, side, light in torch.rand(900, 4, generator=generator, dtype=F64).tolist():
        half = 1 + int(9 * side**3)
        row, column = int(y * size), int(x * size)
        picture[max(row - half, 0) : row + half, max(column - half, 0) : column + half] = 0.1 + 0.8 * light
    return picture


def blur(sharp, kernel):
    return torch.nn.functional.conv2d(sharp[None, None], kernel.flip(0, 1)[None, None])[0, 0]


def bell(sigma_px, right_px=0.0, down_px=0.0, lean=0.0):
    offset = torch.arange(K, dtype=F64) - K // 2
    x, y = offset[None, :] - right_px, offset[:, None] - down_px
    kernel = torch.exp(-0.5 * (x**2 + y**2 - 2 * lean * x * y) / (sigma_px**2 * (1 - lean**2)))
    return kernel / kernel.sum()


def noisy(picture, sigma, seed):
    return picture + sigma * torch.randn(picture.shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def shots(change=None, count=3, sigma_px=2.0, **facts):
    """Good pairs, of which `change` may spoil the last: from (sharp, blurred) to what is photographed instead."""
    sharps, blurs = [], []
    for n in range(count):
        sharp = leaves(90, seed=n)
        blurred = blur(sharp, bell(sigma_px))
        if change is not None and n == count - 1:
            sharp, blurred = change(sharp, blurred)
        sharps.append(noisy(sharp, 0.004, 2 * n) if change is None or n < count - 1 else sharp)
        blurs.append(noisy(blurred, 0.004, 2 * n + 1) if change is None or n < count - 1 else blurred)
    depths = [0.5 + 0.1 * n for n in range(count)]
    return Captures.from_arrays(torch.stack(sharps), torch.stack(blurs), 650, 250, depths, SENSOR, K, 0.7, **facts)


def findings(captures):
    return {(one.kind, one.file): one for one in check_captures(captures).findings}


def test_good_pairs_are_good():
    report = check_captures(shots(pitch_um=4.0, sharp_f_number=4.0))
    assert report.findings == ()
    assert report.is_good
    assert len(report.measures) == len(report.levels.gain) == 3


def clip(sharp, blurred):
    bright = (1.5 * sharp).clamp(max=1)
    return bright, blur(bright, bell(2.0))


def curve(sharp, blurred):
    return sharp ** (1 / 2.2), blurred ** (1 / 2.2)


def move(sharp, blurred):
    # One row down: across the radius, for the crop lies right of the centre.
    return sharp, blur(sharp, bell(2.0, down_px=1.0))


def shake(sharp, blurred):
    return sharp, blur(sharp, bell(2.0, lean=0.6))


def wave(sharp, blurred):
    grid = 0.08 * torch.sin(2 * math.pi * torch.arange(90, dtype=sharp.dtype) / 3.3)
    return sharp + grid, blur(sharp + grid, bell(2.0))


def widen(sharp, blurred):
    return sharp, blur(sharp, bell(7.0))


def stranger(sharp, blurred):
    return sharp, blur(leaves(90, seed=77), bell(2.0))


SPOILED = [
    (clip, "clipped", True, ["% of a picture's pixels", "expose"]),
    (curve, "curve", True, ["power of 1/2.", "RAW"]),
    (lambda s, b: (s, 2.5 * b), "exposure", False, ["2.5 times as bright"]),
    (lambda s, b: (s, 1.06 * b), "exposure", False, ["+6.0 % off that of the others"]),
    (move, "place", True, ["1.0 px out of place"]),
    (shake, "shake", True, ["leans", "tripod"]),
    (wave, "moire", False, ["period of 3."]),
    (widen, "window", True, ["half a kernel is 8.5 px", "larger kernels"]),
    (stranger, "fit", True, ["explains all but", "whether the two show the same"]),
]


@pytest.mark.parametrize(("change", "kind", "serious", "words"), SPOILED, ids=[str(one[1]) for one in SPOILED])
def test_what_ruins_an_estimate_is_found_in_its_pair(change, kind, serious, words):
    found = findings(shots(change))
    one = found[kind, "pair 2"]
    assert one.is_serious is serious
    assert "\n" not in one.line()
    assert one.line().startswith("pair 2: ")
    for word in words:
        assert word in one.line()
    assert {file for _, file in found} == {"pair 2"}


def test_depth_without_texture_is_serious_and_named():
    def flatten(sharp, blurred):
        flat = 0.5 + 0.1 * (sharp - sharp.mean())
        return flat * 0.1 + 0.45, blur(flat * 0.1 + 0.45, bell(2.0))

    with pytest.warns(UserWarning, match="no pair at depth 0.7 m has texture"):
        captures = shots(flatten)
    report = check_captures(captures)
    kinds = [(one.kind, one.is_serious) for one in report.findings]
    assert kinds == [("texture", True), ("texture", False)]
    assert "0.7 m" in report.findings[0].line()


def test_diffraction_of_the_sharp_picture_is_told_in_pixels():
    found = findings(shots(pitch_um=3.36, sharp_f_number=22.0))
    one = found["diffraction", "3 pairs"]
    # 2.44 x 0.55 um x 22 = 29.5 um = 8.8 px.
    assert one.value == pytest.approx(8.79, abs=0.01)
    assert pytest.approx(29.5, abs=0.05) == AIRY_UM * 22
    assert "bin by 5" in one.line()


def test_fall_off_between_the_apertures_is_told_at_the_corner():
    sharp = torch.rand(1, 190 + K - 1, 210 + K - 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    clean = torch.nn.functional.conv2d(sharp[:, None], bell(1.5)[None, None])[:, 0]
    plain = Captures.from_arrays(sharp, clean, 0, 0, 1.0, (190, 210), K, 1.0)
    fallen = clean * (1 - 0.3 * plain.radius(0) ** 2)
    captures = Captures.from_arrays(sharp, fallen, 0, 0, 1.0, (190, 210), K, 1.0)
    one = findings(captures)["fall-off", "1 pairs"]
    assert one.value == pytest.approx(0.3, abs=0.05)


def test_no_pairs_are_no_report():
    with pytest.raises(InputError, match="no pairs"):
        check_captures(shots(count=2).chosen([]))
