"""Residuals of a lens: their derivatives against finite differences, and what failing rays do to them."""

import math
from dataclasses import replace

import pytest
import torch

import optics
from optics.constraints import Limit, keep_limits
from optics.merit import Merit, plan_rays
from optics.mtf import find_geometric_mtf
from optics.residuals import find_residuals, judge, linearise
from optics.variables import choose_variables
from optics.wavefront import find_wavefront

F64 = torch.float64
FEW = {"radii": (0.0, 0.8), "rings": 2, "angles": 3}
CASES = {
    "spot": {},
    "spot by channel": {"about": "channel"},
    "spot from the chief ray, saturated": {"about": "chief", "saturation": 5.0},
    "spot saturated": {"saturation": 5.0},
    "contrast": {"quantity": "contrast", "frequency_per_mm": 20.0},
    "contrast by channel": {"quantity": "contrast", "frequency_per_mm": 60.0, "about": "channel"},
    "wavefront": {"quantity": "wavefront"},
    "wavefront with tilt, saturated": {"quantity": "wavefront", "about": "chief", "saturation": 0.7},
}


def lens_of_lines(name):
    return replace(optics.load(name), channels=optics.LINE_CHANNELS)


def differences(free, plan, vector, i, step):
    h = torch.zeros_like(vector)
    h[i] = step
    f = [find_residuals(free.apply(vector + k * h), plan) for k in (-2, -1, 1, 2)]
    return (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * step)


@pytest.mark.parametrize(
    ("name", "case"),
    [
        *(("double_gauss_jp1987087922", case) for case in sorted(CASES)),
        *(("f2.2_fixedfocus", case) for case in ("spot", "wavefront", "contrast")),
    ],
)
def test_derivatives_are_those_of_finite_differences(name, case):
    lens = lens_of_lines(name)
    shapes = ["surface4.asphere_4", "surface4.conic_k"] if name.startswith("f2.2") else []
    names = ["surface2.curvature_per_mm", *shapes, "surface3.thickness_mm", "surface4.medium.nd", "focus_mm"]
    efl = float(optics.first_order(lens).efl_mm)
    limits = (
        Limit("efl_mm", efl, efl),
        Limit("total_track_mm", high=lens.track_mm - 0.1),
        Limit("chief_angle_rad", high=0.1),
    )
    plan = plan_rays(lens, Merit(depths_m=(2.0, math.inf), limits=limits, **FEW, **CASES[case]))
    free = choose_variables(lens, [n for n in names if n in lens.parameters() or n == "focus_mm"])
    # Off the design, where growing pupils and limits count.
    vector = free.read() + 0.5
    residuals, jacobian = linearise(free, vector, plan)
    assert torch.equal(residuals, find_residuals(free.apply(vector), plan))
    for i, key in enumerate(free.names):
        expected = differences(free, plan, vector, i, 2e-3)
        assert float((jacobian[:, i] - expected).norm() / expected.norm()) < 1e-6, key
    theta = vector.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(find_residuals(free.apply(theta), plan).square().sum(), theta)
    assert torch.allclose(gradient, 2 * jacobian.T @ residuals, rtol=1e-9)


def test_wavefront_is_that_of_the_exact_analysis():
    lens = optics.load("cooke_triplet").stopped_down(8.0)
    wave = lens.reference_wavelength_um
    line = (optics.lens.Channel("line", (wave,)),)
    merit = Merit("wavefront", radii=(0.0, 0.7), depths_m=(math.inf,), channels=line, rings=8, angles=12)
    found = judge(lens, merit).rms[0]
    for value, radius in zip(found.tolist(), merit.radii, strict=True):
        exact = find_wavefront(lens, radius, math.inf).rms_waves_tilt_removed
        # A sphere of finite radius there, a plane wave for each ray here; tilt by directions there, by the pupil here.
        assert value == pytest.approx(float(exact), rel=0.03)


def test_contrast_is_that_of_the_analysis():
    lens = lens_of_lines("cooke_triplet")
    merit = Merit("contrast", radii=(0.7,), about="channel", frequency_per_mm=10.0, rings=8, angles=16)
    transfer = find_geometric_mtf(lens, merit.radii, (lens.focus_m,), [10.0])
    lost = 1 - torch.stack([transfer.tangential, transfer.sagittal])
    # The phase of a lopsided spot against its centroid costs a little more than its modulus says.
    assert judge(lens, merit).image == pytest.approx(100 * float(lost.square().mean().sqrt()), rel=0.03)


def test_saturation_forgives_a_halo():
    lens = lens_of_lines("double_gauss_jp1987087922")
    plain, soft = (judge(lens, Merit(saturation=s, **FEW)) for s in (None, 10.0))
    assert soft.image < 10.0 < plain.image
    assert torch.equal(soft.rms, plain.rms)


def test_rays_that_fail_one_after_another_leave_no_jump_and_nothing_infinite():
    lens = lens_of_lines("double_gauss_jp1987087922")
    free = choose_variables(lens, ["surface6.curvature_per_mm"])
    plan = plan_rays(lens, Merit(**FEW))
    jumps, fading = [], set()
    for count in (25, 50):
        values = []
        # The last surface before the stop bends more and more, until a third of the light is turned back.
        for curvature in torch.linspace(0.104, 0.116, count + 1, dtype=F64):
            residuals = find_residuals(free.apply(curvature[None] / free.steps), plan)
            assert residuals.isfinite().all()
            price = residuals[-plan.rays :] / (plan.price * plan.weight.sqrt())
            fading.add(int((price > 0.99).sum()))
            values.append(residuals.norm())
        jumps.append(float(torch.stack(values).diff().abs().max()))
    assert min(fading) == 0
    assert max(fading) > 3
    # Half the step leaves all of a jump, and about half of a steep slope.
    assert jumps[1] < 0.75 * jumps[0]


def test_derivatives_are_finite_and_right_among_failing_rays():
    lens = lens_of_lines("double_gauss_jp1987087922")
    free = choose_variables(lens, ["surface6.curvature_per_mm", "surface5.thickness_mm"])
    plan = plan_rays(lens, Merit(**FEW))
    vector = free.read()
    vector[0] = 0.11 / free.steps[0]
    residuals, jacobian = linearise(free, vector, plan)
    price = residuals[-plan.rays :] / (plan.price * plan.weight.sqrt())
    assert ((price > 0) & (price < 1)).any()
    assert jacobian.isfinite().all()
    for i in range(2):
        expected = differences(free, plan, vector, i, 1e-3)
        # Where it is this steep, differences are worth less.
        assert float((jacobian[:, i] - expected).norm() / expected.norm()) < 1e-4


def test_limits_are_part_of_the_value_and_not_of_the_image():
    lens = lens_of_lines("cooke_triplet")
    free, tight = judge(lens, Merit(**FEW)), judge(lens, Merit(limits=(Limit("total_track_mm", high=1.0),), **FEW))
    assert tight.image == free.image
    assert tight.value == pytest.approx(math.hypot(free.value, float(tight.violations.norm())))
    assert judge(lens, Merit(limits=keep_limits(lens), **FEW)).value == free.value
