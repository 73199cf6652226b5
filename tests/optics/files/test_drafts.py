import pytest

from optics.files.drafts import DraftSurface, Fields
from optics.glass import AIR


def test_the_largest_field_is_a_distance_from_the_axis():
    assert Fields("angle_deg", ((0, 0), (3, -4), (0, 4.9))).largest == pytest.approx(5)
    assert Fields().largest == 0


def test_a_surface_is_flat_without_curvature_and_terms():
    assert DraftSurface(1, AIR, terms={4: 0.0}).is_flat
    assert not DraftSurface(1, AIR, terms={4: 1e-9}).is_flat
