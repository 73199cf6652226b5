import math
from dataclasses import replace

import numpy as np
import pytest

import psf
from psf.errors import InputError
from psf.patterns import Display
from psf.shooting import PlannedCamera, find_blur_um, find_exposure_s, format_time, plan_shots, spread_distances

# The 12 mm f/2.8 of Wu et al., as photographed.
CAMERA = PlannedCamera(12.0, 2.8, 22.0, (3888, 5184), 3.36, 4)
BIG = Display((2160, 3840), 65.0)


def plan(camera=CAMERA, **changes):
    return plan_shots(camera, BIG, **{"near_m": 0.5, "far_m": 1.415, "focuses": 5, **changes})


def test_blur_and_scale_are_those_of_the_independent_thin_lens(shared):
    with np.load(shared / "golden" / "psfnet_b.npz") as file:
        golden = {name: file[name] for name in file.files if name.startswith("real_")}
    focuses, depths = golden["real_focus_m"].tolist(), golden["real_depth_m"].tolist()
    for i, focus in enumerate(focuses):
        for j, depth in enumerate(depths):
            wanted = golden["real_coc_diameter_um"][i, j]
            assert find_blur_um(12.0, 2.8, focus, depth) == pytest.approx(wanted, abs=1e-9, rel=1e-9)
    planned = plan(focuses=focuses)
    corner_px = 0.5 * math.hypot(972, 1296)
    shifts = [one.shift_px for one in planned.shots[:5]]
    assert shifts == pytest.approx([corner_px * (one - 1) for one in golden["real_scale_to_first"]], abs=1e-6)


def test_blur_is_the_disc_of_the_thin_lens_field():
    field = psf.thin_lens_field(50, 1.8, 2.0, 10, (300, 400), kernel_px=81)
    kernel = field.at(0.0, 1.0)[0].double()
    across_px = find_blur_um(50, 1.8, 2.0, 1.0) / 10
    # An evenly lit disc: its brightest pixel is one over its area.
    assert float(kernel.max()) == pytest.approx(4 / (math.pi * across_px**2), rel=1e-3)


def test_distances_and_focuses_are_even_in_dioptres():
    planned = plan()
    steps = np.diff(1 / np.array(planned.distances_m))
    np.testing.assert_allclose(steps, steps[0], rtol=1e-9)
    assert planned.distances_m[0] == 0.5
    assert planned.distances_m[-1] == 1.415
    assert len(planned.shots) == 20 * 5
    np.testing.assert_allclose(np.diff(1 / np.array(planned.focuses_m)), np.diff(1 / np.array(planned.focuses_m))[0])
    # The paper's own are nearly that.
    assert planned.focuses_m == pytest.approx([0.5, 0.59, 0.72, 0.94, 1.415], rel=0.04)
    assert planned.photographs == 20 * 3 * 6
    assert spread_distances(1.0, 3.0, 1) == (1.0,)


def test_single_focus_lies_where_blur_is_the_same_on_both_sides():
    planned = plan(focuses=1)
    assert planned.shots[0].blur_px == pytest.approx(planned.shots[-1].blur_px)


def test_window_that_does_not_hold_the_blur_is_told_with_one_that_does():
    narrow = plan(kernel_px=5)
    assert not narrow.shots[0 + 4].is_held
    told = narrow.warnings()[0]
    assert f"kernels of {narrow.needed_px} px" in told
    wide = plan(kernel_px=narrow.needed_px)
    assert all(one.is_held for one in wide.shots)


def test_breathing_of_the_paper_does_not_fit_and_is_told():
    told = " ".join(plan(kernel_px=25).warnings())
    # 1.6 % of 810 px.
    assert "moves the corner 12.7 px inwards" in told
    assert "one magnification per focus" in told


def test_diffraction_moire_and_sharp_defocus_are_told_in_the_papers_numbers():
    unbinned = plan(replace(CAMERA, bin_px=1), kernel_px=61)
    assert unbinned.airy_px == pytest.approx(8.8, abs=0.05)
    assert unbinned.sharp_blur_px[-1] == pytest.approx(2.6, abs=0.05)
    assert unbinned.display_pixel_px[0] == pytest.approx(2.74, abs=0.03)
    assert unbinned.display_pixel_px[-1] == pytest.approx(0.97, abs=0.03)
    told = " ".join(unbinned.warnings())
    for words in ("Airy disc is 8.8 px", "bin by 5", "out of focus by 2.6 px", "beat with the sensor's"):
        assert words in told


def test_display_that_does_not_fill_the_frame_is_told():
    small = plan_shots(CAMERA, Display((2160, 3840), 24.0), near_m=0.5, far_m=1.415)
    assert small.cover[0] < 1
    assert "fills only part of the frame" in " ".join(small.warnings())
    assert min(plan_shots(CAMERA, Display((2160, 3840), 400.0), near_m=0.5, far_m=1.4).cover) == 1


def test_exposure_grows_with_the_square_of_the_f_number():
    wide, stopped = (find_exposure_s(CAMERA, BIG, one) for one in (False, True))
    assert stopped / wide == pytest.approx((22 / 2.8) ** 2)
    # 70 % of 78 lx s / 200, at 0.65 x 250 / 2.8^2 lx.
    assert wide == pytest.approx(0.7 * 78 / 200 / (0.65 * 250 / 2.8**2))
    assert format_time(1 / 60) == "1/60 s"
    assert format_time(0.8) == "0.8 s"
    assert "may flicker" in " ".join(plan(replace(CAMERA, iso=800)).warnings())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"near_m": 2.0}, "near_m, far_m"),
        ({"near_m": 0.01}, "beyond the focal length"),
        ({"far_m": math.inf}, "far_m"),
        ({"distances": 1}, "distances"),
        ({"patterns": 0}, "patterns"),
        ({"focuses": 0}, "focuses"),
        ({"focuses": (0.001,)}, "focuses"),
        ({"kernel_px": 8}, "kernel_px"),
    ],
)
def test_plans_that_cannot_be_are_refused(changes, words):
    with pytest.raises(InputError, match=words):
        plan(**changes)


@pytest.mark.parametrize(
    "changes",
    [{"focal_mm": 0}, {"f_number": math.nan}, {"sharp_f_number": 2.0}, {"bin_px": 0}, {"image_shape_px": (0, 5)}],
)
def test_cameras_that_cannot_be_are_refused(changes):
    with pytest.raises(InputError, match=next(iter(changes))):
        replace(CAMERA, **changes)
