"""Pictures of lenses: that they hold what they should. Whether they are good, only eyes can tell."""

import io
import math
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.patches import Circle, Polygon, Rectangle

import optics
from optics import draw
from optics.analysis import find_field_curves, find_spots, trace_fans
from psf import InputError

ELEMENTS = {"f2.2_fixedfocus": 7, "cooke_triplet": 3, "camera_rf50mm_f1p8": 6, "singlet_biconvex_nbk7": 1}


def polygons(figure):
    return [patch.get_xy() for patch in figure.axes[0].patches if isinstance(patch, Polygon)]


def enclosed_area(outline):
    x, y = outline[:, 0], outline[:, 1]
    return 0.5 * abs(float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))))


def render(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=50)
    return buffer.getvalue()


@pytest.mark.parametrize(("name", "count"), ELEMENTS.items())
def test_every_element_is_an_outline_about_the_axis(name, count):
    lens = optics.load(name)
    outlines = polygons(draw.plot_layout(lens, trace_fans(lens, (0.0, 1.0))))
    assert len(outlines) == count
    for outline in outlines:
        assert enclosed_area(outline) > 0
        mirrored = outline * np.array([1.0, -1.0])
        assert all(np.abs(outline - point).sum(1).min() < 1e-9 for point in mirrored)


def test_cemented_elements_share_their_surface():
    lens = optics.load("camera_rf50mm_f1p8")
    outlines = polygons(draw.plot_layout(lens, trace_fans(lens, (0.0,))))
    shared = [
        sum(float(np.abs(second - point).sum(1).min()) < 1e-9 for point in first)
        for first, second in pairwise(outlines)
    ]
    assert max(shared) > 100


@pytest.mark.parametrize("name", ["f2.2_fixedfocus", "cooke_triplet", "wide_laikin100"])
def test_elements_do_not_reach_into_each_other_on_the_axis(name):
    lens = optics.load(name)
    outlines = polygons(draw.plot_layout(lens, trace_fans(lens, (0.0,))))
    spans = []
    for outline in outlines:
        near_axis = outline[np.abs(outline[:, 1]) < 1e-9, 0]
        spans.append((near_axis.min(), near_axis.max()))
    assert all(first[1] <= second[0] + 1e-9 for first, second in pairwise(spans))


def test_layout_is_to_scale_and_shows_all_rays_and_the_sensor():
    lens = optics.load("wide_laikin100")
    fans = trace_fans(lens, (0.0, 0.5, 1.0), rays=3)
    figure = draw.plot_layout(lens, fans)
    ax = figure.axes[0]
    assert ax.get_aspect() == 1
    bottom, top = ax.get_ylim()
    assert bottom < float(fans.x_mm.min())
    assert top > float(fans.x_mm.max())
    assert ax.get_xlim()[1] > lens.track_mm
    assert "mm" in ax.get_xlabel()
    assert "mm" in ax.get_ylabel()
    assert render(figure)


def test_fans_of_another_lens_are_refused():
    phone, triplet = optics.load("f2.2_fixedfocus"), optics.load("cooke_triplet")
    with pytest.raises(InputError, match="fans"):
        draw.plot_layout(triplet, trace_fans(phone, (0.0,)))


def test_spot_panels_show_pixel_airy_disc_and_rms():
    lens = optics.load("f2.2_fixedfocus")
    depths_m = (0.5, math.inf)
    spots = find_spots(lens, (0.0, 0.7, 1.0), depths_m, rings=4)
    figure = draw.plot_spots(spots, 1.16, "title")
    assert len(figure.axes) == 6
    for ax in figure.axes:
        circle = next(p for p in ax.patches if isinstance(p, Circle))
        square = next(p for p in ax.patches if isinstance(p, Rectangle))
        assert square.get_width() == pytest.approx(1.16)
        assert 1.0 < circle.radius < 3.0
        assert ax.get_xlabel().count("um") == ax.get_xlabel().count("px") == 3
    assert "0.5 m" in figure.axes[0].get_ylabel()
    assert "infinity" in figure.axes[3].get_ylabel()
    assert render(figure)


def test_field_curves_have_three_labelled_panels():
    lens = optics.load("cooke_triplet")
    figure = draw.plot_field_curves(find_field_curves(lens, (0.0, 0.5, 1.0)), 5.0, lens.name)
    assert [ax.get_title() for ax in figure.axes] == ["Relative illumination", "Distortion", "Lateral colour"]
    assert all(ax.get_xlabel() and ax.get_ylabel() for ax in figure.axes)
    assert render(figure)


@pytest.mark.parametrize("pitch_um", [0.0, -1.0, math.nan])
def test_impossible_pitch_is_refused(pitch_um):
    lens = optics.load("cooke_triplet")
    with pytest.raises(InputError, match="pitch_um"):
        draw.plot_field_curves(find_field_curves(lens, (0.0, 1.0)), pitch_um)
    with pytest.raises(InputError, match="pitch_um"):
        draw.plot_spots(find_spots(lens, (0.0,), (math.inf,), rings=1), pitch_um)
