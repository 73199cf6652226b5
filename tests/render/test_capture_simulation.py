import math

import pytest
import torch

import psf
from psf import InputError
from psf.turning import polar_place
from render.capture_simulation import SimulatedFocus, _place, simulate_captures

F64 = torch.float64
K = 7
SENSOR = (90, 120)


def lopsided(x_px, y_px, depth_m):
    """Kernels that differ from pixel to pixel in a way that blending between nodes holds exactly: linear in places."""
    right = (x_px / 119).reshape(-1, 1, 1, 1)
    down = (y_px / 89).reshape(-1, 1, 1, 1)
    rows, columns = torch.meshgrid(torch.arange(K, dtype=F64), torch.arange(K, dtype=F64), indexing="ij")
    kernel = 1 + right * columns / K + down * (rows**2) / K**2 + 0.3 * depth_m.reshape(-1, 1, 1, 1)
    # The same sum everywhere keeps them linear: what place and depth add is taken off one corner.
    extra = kernel.sum((-2, -1), keepdim=True) - 2 * K * K
    corner = torch.zeros(K, K, dtype=F64)
    corner[0, -1] = 1
    return (kernel - extra * corner) / (2 * K * K)


def displays(count=2, side=160, channels=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(channels, side, side, generator=generator, dtype=F64) for _ in range(count)]


def simulate(focuses=None, count=3, seed=0, **changes):
    options = {"image_shape_px": SENSOR, "kernel_px": K, "crop_px": (20, 24), "noise": 0.0, "node_px": 64}
    depths = torch.linspace(0.5, 1.0, count)
    options |= {"generator": torch.Generator().manual_seed(seed)} | changes
    shown = options.pop("displays", None) or displays()
    return simulate_captures(shown, focuses or [SimulatedFocus(lopsided, 0.7)], depths, **options)


def test_every_pixel_is_the_sum_with_its_own_kernel():
    captures = simulate(node_px=8)
    for pair in captures:
        for row, column in ((0, 0), (3, 17), (19, 23), (11, 5)):
            place = (pair.x0_px + column, pair.y0_px + row, pair.depth_m)
            kernel = lopsided(*(one.reshape(1) for one in place))[0, 0]
            around = pair.sharp[0, row : row + K, column : column + K].double()
            # True convolution: light at p - q goes to p with the kernel's value at q.
            assert float(pair.blurred[0, row, column]) == pytest.approx(
                float((kernel.flip(0, 1) * around).sum()), abs=2e-6
            )
    # These kernels are linear in their places: blending them is exact.
    assert captures.provenance["blend_l1_max"] < 1e-12


def test_error_of_blending_is_measured_and_falls_with_the_nodes():
    field = psf.thin_lens_field(20, 2, 0.7, 30, SENSOR, kernel_px=K, reference_focus_m=3.0, breathing_as="shift")
    focus = [SimulatedFocus(field.to(dtype=F64).kernels_at_pixel, 0.7)]
    errors = [simulate(focus, node_px=node_px, check_share=1.0).provenance["blend_l1_mean"] for node_px in (12, 6)]
    assert 0 < errors[1] < 0.5 * errors[0]


def test_same_seed_gives_the_same_bytes_and_another_one_others():
    one, same, other = (simulate(noise=0.01, seed=seed) for seed in (1, 1, 2))
    assert one.sharp.equal(same.sharp)
    assert one.blurred.equal(same.blurred)
    assert not one.blurred.equal(other.blurred)


def test_noise_is_what_was_asked_for_in_both_pictures():
    captures = simulate(noise=0.02, crop_px=(60, 60), count=2, node_px=64)
    clean = simulate(noise=0.0, crop_px=(60, 60), count=2, node_px=64)
    for name in ("sharp", "blurred"):
        left = getattr(captures, name) - getattr(clean, name)
        assert float(left.std()) == pytest.approx(0.02, rel=0.03)
    quiet = simulate(noise=0.02, sharp_noise=0.0, crop_px=(60, 60), count=2, node_px=64)
    assert quiet.sharp.equal(clean.sharp)
    shot = simulate(noise=(0.01, 0.0), crop_px=(60, 60), count=2, node_px=64)
    variance = (shot.sharp - clean.sharp).square().mean()
    assert float(variance) == pytest.approx(0.01 * float(clean.sharp.mean()), rel=0.06)
    counted = simulate(bits=4, gain=3.0)
    assert counted.blurred.max() == 1
    assert float((counted.sharp * 15 - (counted.sharp * 15).round()).abs().max()) < 1e-5


def test_breathing_scales_the_scene_and_leaves_the_sharp_picture():
    point = torch.zeros(1, 1, K, K, dtype=F64)
    point[..., K // 2, K // 2] = 1

    def still(x_px, y_px, depth_m):
        return point.expand(len(x_px), 1, K, K)

    # A ramp that rises by 1 per sensor pixel along x: its scaled copy shows the place that it was read at.
    ramp = torch.arange(400, dtype=F64).expand(1, 400, 400).contiguous()
    places = (torch.tensor([95.0]), torch.tensor([10.0]))
    focuses = [SimulatedFocus(still, 0.5), SimulatedFocus(still, 1.4, 0.98)]
    captures = simulate(focuses, count=1, displays=[ramp], places_px=places, node_px=64)
    assert captures.focuses_m.tolist() == [0.5, 1.4]
    first, second = captures
    assert first.sharp.equal(second.sharp)
    half = K // 2
    assert first.blurred.allclose(first.sharp[:, half:-half, half:-half])
    x_px = 95 + torch.arange(24, dtype=F64) - 59.5
    moved = (second.blurred - first.blurred)[0, 4].double()
    # What was at p is at 0.98 p: at p one sees what was at p / 0.98. The ramp is one of stairs: a hundredth of a pixel.
    assert moved.tolist() == pytest.approx((x_px / 0.98 - x_px).tolist(), abs=0.0105)
    assert captures.provenance["magnifications"] == [1.0, 0.98]


def test_display_pixels_of_any_size_keep_their_mean():
    fine = torch.rand(1, 500, 500, generator=torch.Generator().manual_seed(0), dtype=F64)
    captures = simulate(displays=[fine], display_pixel_px=0.25, node_px=64)
    assert float(captures.sharp.mean()) == pytest.approx(0.5, abs=0.02)
    # Sixteen squares' mean.
    assert float(captures.sharp.std()) == pytest.approx(math.sqrt(1 / 12 / 16), rel=0.1)


def test_a_display_that_just_covers_the_picture_is_enough_whatever_its_pixels():
    # Crops of 24 x 20 px and a margin of K // 2: thirds of a pixel have no exact end.
    side = 3 * (24 + 2 * (K // 2)) + 5
    even = torch.full((1, side, side), 0.4, dtype=F64)
    captures = simulate(displays=[even], display_pixel_px=1 / 3, count=150, image_shape_px=(972, 1296), check_share=0.0)
    assert captures.sharp.allclose(torch.tensor(0.4), atol=1e-6)


def test_sharp_pictures_may_have_a_blur_of_their_own():
    # The picture must reach half a kernel further: a constant stays one to its edges.
    flat = [torch.full((1, 160, 160), 0.4, dtype=F64)]
    captures = simulate(displays=flat, sharp_kernels_at_pixel=lopsided, node_px=64)
    assert captures.sharp.allclose(torch.tensor(0.4), atol=1e-6)
    assert captures.sharp.shape[-2:] == (26, 30)
    blurred = simulate(sharp_kernels_at_pixel=lopsided, node_px=8)
    assert float(blurred.sharp.std()) < 0.5 * float(simulate().sharp.std())


def test_light_that_the_lens_loses_is_lost():
    def transmission(x_px, y_px, depth_m):
        return (1 - x_px / 200)[:, None]

    focus = SimulatedFocus(lopsided, 0.7, transmission_at_pixel=transmission)
    places = (torch.tensor([40.0, 60.0, 0.0]), torch.tensor([0.0, 0.0, 0.0]))
    dim, plain = (simulate([one], places_px=places) for one in (focus, SimulatedFocus(lopsided, 0.7)))
    ratio = (dim.blurred / plain.blurred)[1, 0, 5].double()
    assert ratio.tolist() == pytest.approx((1 - (60 + torch.arange(24)) / 200).tolist(), abs=1e-5)


def test_crops_lie_evenly_over_image_heights_if_asked_for():
    shares = {}
    for placing in ("area", "radius"):
        x_px, y_px = _place(SENSOR, (2, 2), 500, None, placing, torch.Generator().manual_seed(0))
        radius = polar_place(x_px + 0.5, y_px + 0.5, SENSOR)[0]
        shares[placing] = float((radius < 0.2).double().mean())
        corners = float((radius > 0.8).double().mean())
        assert float(x_px.min()) >= 0
        assert float(x_px.max()) <= SENSOR[1] - 2
    # The inner fifth of the image heights: pi 0.2^2 of 4 x 0.8 x 0.6 of the sensor's area.
    assert shares["area"] == pytest.approx(0.065, abs=0.03)
    assert shares["radius"] == pytest.approx(0.2, abs=0.05)
    assert corners == pytest.approx(0.2, abs=0.05)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"displays": [torch.rand(1, 20, 20, generator=torch.Generator().manual_seed(0))]}, ["displays", "20 x 20 px"]),
        ({"displays": [torch.full((1, 99, 99), math.nan)]}, ["displays[0]"]),
        ({"crop_px": (91, 10)}, ["crop_px", "(91, 10)"]),
        ({"kernel_px": 5}, ["kernels_at_pixel", "5, 5"]),
        ({"kernel_px": 4}, ["kernel_px", "odd"]),
        ({"placing": "corner"}, ["placing", "corner"]),
        ({"node_px": 0}, ["node_px"]),
        ({"noise": -0.1}, ["noise"]),
        ({"bits": 40}, ["bits"]),
        ({"gain": 0}, ["gain"]),
        ({"display_pixel_px": 0.0}, ["display_pixel_px"]),
        ({"display_pixel_px": torch.ones(2)}, ["display_pixel_px", "3 of them"]),
        ({"check_share": -0.1}, ["check_share", "0 to 1"]),
        ({"places_px": (torch.tensor([0.0]), torch.tensor([0.0]))}, ["places_px", "3 numbers"]),
        ({"focuses": [SimulatedFocus(lopsided, 0.7, 3.0)]}, ["focuses[0]", "3.0"]),
    ],
    ids=lambda one: next(iter(one)) if isinstance(one, dict) else "",
)
def test_what_cannot_be_photographed_is_refused_in_one_line(changes, words):
    with pytest.raises(InputError) as caught:
        simulate(**changes)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)
