"""Perturbed lenses: errors within their limits, of the size that was asked for, and predictable to first order."""

import math
from dataclasses import replace

import pytest
import torch

import optics
from optics.dispersion import TabulatedIndex
from optics.glass import ConstantIndex, measure_nd_vd
from optics.tolerance import (
    GLASS,
    MOULDED,
    Tolerances,
    apply_departures,
    choose_tolerances,
    deviation_of,
    draw_departures,
    find_sensitivities,
    limit_names,
    list_limits,
    perturbed,
)
from psf.errors import InputError
from psf.runs import make_generator

F64 = torch.float64


def generator(index=0, seed=0):
    return make_generator(seed, index)


def efl_mm(lens):
    return optics.first_order(lens).efl_mm


def numbers(lens):
    return torch.cat([value.detach().reshape(-1) for value in lens.parameters().values()])


def spread(values):
    return float(torch.stack(values).std())


@pytest.fixture(scope="module")
def phone():
    return optics.load("f2.2_fixedfocus")


@pytest.fixture(scope="module")
def triplet():
    return optics.load("cooke_triplet")


@pytest.mark.parametrize("focus", ["fixed", "paraxial", "spot"])
def test_no_tolerances_give_the_very_lens(phone, focus):
    made = perturbed(phone, Tolerances(), generator=generator(), focus=focus)
    assert numbers(made).equal(numbers(phone))
    assert optics.to_json(replace(made, source=phone.source)) == optics.to_json(phone)


def test_no_tolerances_give_the_nominal_field(triplet):
    made = perturbed(triplet, Tolerances(), generator=generator())
    field, nominal = (optics.psf_grid(lens, [1.0, math.inf], [0.0, 1.0]) for lens in (made, triplet))
    assert field.kernels.equal(nominal.kernels)
    assert field.transmission.equal(nominal.transmission)


def test_the_same_generator_gives_the_same_lens_and_another_another(phone):
    one, two, other = (perturbed(phone, generator=generator(index), focus="fixed") for index in (4, 4, 5))
    assert numbers(one).equal(numbers(two))
    assert not numbers(one).equal(numbers(other))
    assert one.source["departures"] == draw_departures(phone, MOULDED, generator=generator(4))


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_errors_keep_to_their_limits_and_have_the_deviation_that_is_told(triplet, distribution):
    tolerances = replace(GLASS, distribution=distribution)
    limits = list_limits(triplet, tolerances)
    drawn = [draw_departures(triplet, tolerances, generator=generator(index)) for index in range(400)]
    shares = torch.tensor([[one[name] / limit for name, limit in limits.items() if limit] for one in drawn])
    assert shares.abs().max() <= 1
    assert shares.abs().max() > 0.97
    # 400 numbers of each of 30 kinds: the standard deviation is known to half a percent, the mean to 0.004.
    assert float(shares.std()) == pytest.approx(deviation_of(distribution), rel=0.02)
    assert abs(float(shares.mean())) < 0.016


def test_a_limit_of_zero_changes_no_other_error(phone):
    all_of_them = draw_departures(phone, MOULDED, generator=generator(1))
    some = draw_departures(phone, replace(MOULDED, form_um=0, index=0), generator=generator(1))
    assert all(value in (0.0, all_of_them[name]) for name, value in some.items())
    assert sum(value != 0 for value in some.values()) < sum(value != 0 for value in all_of_them.values())


@pytest.mark.parametrize("name", ["f2.2_fixedfocus", "cooke_triplet"])
def test_doubled_tolerances_double_the_spread_of_the_focal_length(name):
    lens = optics.load(name)
    tolerances = choose_tolerances(lens)
    with torch.no_grad():
        made = [
            [efl_mm(perturbed(lens, t, generator=generator(index), focus="fixed")) for index in range(50)]
            for t in (tolerances, tolerances.scaled(2))
        ]
    # The same draws: what is left is the curvature of the focal length over its errors.
    assert spread(made[1]) == pytest.approx(2 * spread(made[0]), rel=0.03)


@pytest.mark.parametrize("name", ["f2.2_fixedfocus", "camera_rf50mm_f1p8", "cooke_triplet"])
def test_the_spread_of_the_focal_length_is_what_gradients_predict(name):
    lens = optics.load(name)
    tolerances = choose_tolerances(lens).scaled(0.1)
    sensitivities = find_sensitivities(lens, tolerances, efl_mm, focus="fixed")
    predicted = math.hypot(*sensitivities.values())
    nominal = efl_mm(lens)
    with torch.no_grad():
        lenses = [perturbed(lens, tolerances, generator=generator(i), focus="fixed") for i in range(200)]
        # The deviation of 200 draws is known to 5 %.
        assert spread([efl_mm(made) for made in lenses]) == pytest.approx(predicted, rel=0.15)
        # And lens by lens, where nothing is left to chance.
        limits = list_limits(lens, tolerances)
        slopes = {key: value / limits[key] / deviation_of("normal") for key, value in sensitivities.items()}
        for made in lenses[:20]:
            errors = made.source["departures"]
            linear = sum(slope * errors[key] for key, slope in slopes.items())
            assert float(efl_mm(made) - nominal) == pytest.approx(linear, abs=0.02 * predicted)


def test_where_real_rays_land_moves_as_the_tracers_gradients_say(phone):
    tolerances = MOULDED.scaled(0.05)

    def height_mm(lens):
        ray = optics.Rays(
            torch.tensor([[0.0, 0.0, -1.0]], dtype=F64),
            torch.nn.functional.normalize(torch.tensor([[0.0, 0.3, 1.0]], dtype=F64), dim=-1),
            torch.tensor(0.5876, dtype=F64),
        )
        traced = optics.trace(lens, ray)
        assert bool(traced.alive.all())
        return traced.position_mm[0, 1]

    limits = list_limits(phone, tolerances)
    found = find_sensitivities(phone, tolerances, height_mm, focus="paraxial")
    slopes = {name: value / limits[name] / deviation_of("normal") for name, value in found.items()}
    typical = math.hypot(*found.values())
    assert typical > 0
    with torch.no_grad():
        start = height_mm(phone)
        for index in range(20):
            made = perturbed(phone, tolerances, generator=generator(index), focus="paraxial")
            linear = sum(slope * made.source["departures"][name] for name, slope in slopes.items())
            assert float(height_mm(made) - start) == pytest.approx(linear, abs=0.05 * typical)


def test_focusing_takes_most_of_the_defocus_and_keeps_the_designers(triplet):
    def defocus_mm(lens):
        return optics.first_order(lens).paraxial_defocus_of_image_plane_mm

    own = float(defocus_mm(triplet))
    tolerances = replace(GLASS, sensor_um=0)
    for index in range(3):
        fixed, moved = (
            perturbed(triplet, tolerances, generator=generator(index), focus=f) for f in ("fixed", "paraxial")
        )
        assert abs(float(defocus_mm(fixed)) - own) > 1e-3
        assert float(defocus_mm(moved)) == pytest.approx(own, abs=1e-12)


def test_the_sensor_is_off_after_focusing(triplet):
    made = perturbed(triplet, replace(GLASS, sensor_um=10), generator=generator(), focus="paraxial")
    without = perturbed(triplet, replace(GLASS, sensor_um=0), generator=generator(), focus="paraxial")
    shift_mm = float(made.surfaces[-1].thickness_mm - without.surfaces[-1].thickness_mm)
    assert shift_mm == pytest.approx(made.source["departures"]["sensor_mm"], abs=1e-12)
    assert 0 < abs(shift_mm) <= 0.01


@pytest.mark.parametrize("name", ["cooke_triplet", "phone_us7535658", "phone_deeplens80", "f2.2_fixedfocus"])
@pytest.mark.parametrize("ring", ["form_4_um", "form_6_um"])
def test_a_ring_error_has_its_height_over_the_aperture_and_no_power(name, ring):
    lens = optics.load(name)
    number = next(i for i, s in enumerate(lens.surfaces, start=1) if "curvature_per_mm" in s.shape.parameters())
    changed = apply_departures(lens, {f"surface{number}.{ring}": 0.25}, focus="fixed")
    surface = lens.surfaces[number - 1]
    # Even steps of area: the mean over them is the mean over the aperture.
    share = (torch.arange(4000, dtype=F64) + 0.5) / 4000
    r2_mm2 = share * surface.semi_aperture_mm**2
    error_um = 1e3 * (changed.surfaces[number - 1].shape.sag(r2_mm2)[0] - surface.shape.sag(r2_mm2)[0])
    assert float(error_um.max() - error_um.min()) == pytest.approx(0.25, rel=2e-3)
    power = (error_um * (2 * share - 1)).mean()
    assert abs(float(power)) < 1e-6


def test_fringes_are_half_wavelengths_of_height_at_the_rim(triplet):
    limits = list_limits(triplet, Tolerances(power_fringes=3))
    surface = triplet.surfaces[0]
    rim_um = 1e3 * limits["surface1.curvature_per_mm"] * float(surface.semi_aperture_mm) ** 2 / 2
    assert rim_um == pytest.approx(3 * 0.6328 / 2)
    percent = list_limits(triplet, Tolerances(radius_percent=0.2))["surface1.curvature_per_mm"]
    assert percent == pytest.approx(0.002 * abs(float(surface.shape.curvature_per_mm)))


def test_airspaces_and_glass_have_limits_of_their_own(triplet):
    limits = list_limits(triplet, Tolerances(thickness_um=50, airspace_um=20))
    for number, surface in enumerate(triplet.surfaces[:-1], start=1):
        assert limits[f"surface{number}.thickness_mm"] == (0.02 if surface.medium.name == "air" else 0.05)
    assert f"surface{len(triplet.surfaces)}.thickness_mm" not in limits  # the sensor's: sensor_mm


@pytest.mark.parametrize("name", ["schott/N-BK7", "schott/N-SF6", "schott/SF6"])
def test_glass_of_another_melt_has_the_index_and_abbe_number_that_were_drawn(name):
    glass = optics.find_glass(name)
    lens = replace(
        optics.load("singlet_biconvex_nbk7"),
        surfaces=tuple(
            replace(s, medium=glass) if s.medium.name != "air" else s
            for s in optics.load("singlet_biconvex_nbk7").surfaces
        ),
    )
    number = next(i for i, s in enumerate(lens.surfaces, start=1) if s.medium.name != "air")
    changes = {f"surface{number}.nd": 7e-4, f"surface{number}.vd": -0.4}
    melted = apply_departures(lens, changes, focus="fixed").surfaces[number - 1].medium
    (nd, vd), (old_nd, old_vd) = measure_nd_vd(melted), measure_nd_vd(glass)
    assert float(nd - old_nd) == pytest.approx(7e-4, abs=1e-12)
    assert float(vd - old_vd) == pytest.approx(-0.4, abs=1e-9)
    # In between the curve keeps its form: a hair of it is all that two numbers leave open.
    lines_um = torch.linspace(0.44, 0.66, 23, dtype=F64)
    stretch = float((nd - 1) / vd / ((old_nd - 1) / old_vd))
    expected = nd + stretch * (glass.index(lines_um) - old_nd)
    assert (melted.index(lines_um) - expected).abs().max() < 2e-5
    again = optics.from_json(optics.to_json(apply_departures(lens, changes, focus="fixed")))
    assert (again.surfaces[number - 1].medium.index(lines_um) - melted.index(lines_um)).abs().max() < 1e-14


@pytest.mark.parametrize("kind", ["tabulated", "constant"])
def test_other_media_change_too(triplet, kind):
    lines_um = torch.linspace(0.4, 0.7, 12, dtype=F64)
    own = triplet.surfaces[0].medium
    medium = TabulatedIndex("t", lines_um, own.index(lines_um)) if kind == "tabulated" else ConstantIndex("c", nd())
    lens = replace(triplet, surfaces=(replace(triplet.surfaces[0], medium=medium), *triplet.surfaces[1:]))
    limits = list_limits(lens, GLASS)
    assert ("surface1.vd" in limits) is (kind == "tabulated")
    melted = apply_departures(lens, {"surface1.nd": 1e-3}, focus="fixed").surfaces[0].medium
    middle = torch.tensor([0.5875618], dtype=F64)
    assert float(melted.index(middle) - medium.index(middle)) == pytest.approx(1e-3, abs=1e-9)


def nd():
    return torch.tensor(1.6, dtype=F64)


@pytest.mark.parametrize("name", optics.bundled())
def test_every_bundled_lens_can_be_drawn(name):
    lens = optics.load(name)
    made = perturbed(lens, generator=generator(), focus="paraxial")
    assert numbers(made).isfinite().all()
    assert float(efl_mm(made)) == pytest.approx(float(efl_mm(lens)), rel=0.05)
    assert float(efl_mm(made)) != float(efl_mm(lens))


def test_every_limit_does_something(triplet):
    asphere = optics.load("phone_us7535658")
    for name in limit_names():
        lens = asphere if name in ("asphere_percent", "conic_k") else triplet
        departures = draw_departures(lens, Tolerances(**{name: 0.01}), generator=generator())
        assert optics.to_json(apply_departures(lens, departures, focus="fixed")) != optics.to_json(lens), name


def test_a_long_lens_is_of_glass_and_a_short_one_moulded(phone, triplet):
    assert choose_tolerances(phone) is MOULDED
    assert choose_tolerances(triplet) is GLASS


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"radius_percent": -1}, "Tolerances.radius_percent: found -1"),
        ({"form_um": math.nan}, "Tolerances.form_um: found nan"),
        ({"abbe_percent": 100}, "less than 100"),
        ({"index": "0.1"}, "Tolerances.index"),
        ({"distribution": "cauchy"}, "Tolerances.distribution"),
    ],
)
def test_tolerances_that_cannot_be_are_named(arguments, words):
    with pytest.raises(InputError) as caught:
        Tolerances(**arguments)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("tolerances", "words"),
    [
        (Tolerances(thickness_um=1e4), "thickness_um for surface 1 of lens cooke_triplet"),
        (Tolerances(semi_aperture_um=1e5), "semi_aperture_um for surface 1 of lens cooke_triplet"),
    ],
)
def test_tolerances_larger_than_the_lens_are_refused(triplet, tolerances, words):
    with pytest.raises(InputError) as caught:
        list_limits(triplet, tolerances)
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["surface9.nd", "surface1.tilt_rad", "lens.nd", "surface2.nd", "surface1.medium.nd"])
def test_errors_that_a_lens_cannot_have_are_named(triplet, name):
    with pytest.raises(InputError, match=f"departure {name}"):
        apply_departures(triplet, {name: 1e-3})


def test_focus_and_measure_are_checked(triplet):
    with pytest.raises(InputError, match="focus"):
        apply_departures(triplet, {}, focus="sharp")
    with pytest.raises(InputError, match="measure"):
        find_sensitivities(triplet, GLASS, lambda _: 1.0)
    with pytest.raises(InputError, match="factor"):
        GLASS.scaled(-1)
