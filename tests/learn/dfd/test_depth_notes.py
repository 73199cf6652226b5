import pytest

from learn.dfd.depth_notes import make_depth_notes, read_depth_notes
from psf import InputError


def test_notes_tell_camera_and_stacks(synthesis, fields):
    notes = read_depth_notes(make_depth_notes(synthesis.optics, synthesis.describe(), aligned=True, steps=9), "n.pt")
    assert (notes.steps, notes.aligned, notes.encoding) == (9, True, "linear")
    assert notes.focus_m == pytest.approx((0.5, 0.72, 1.415))
    assert notes.magnifications == tuple(one.magnification for one in fields)
    assert (notes.image_shape_px, notes.pitch_um) == ((120, 160), 13.44)
    assert notes.settings == synthesis.settings
    assert len(notes.fields_sha256) == 3


@pytest.mark.parametrize(
    "notes", [{}, {"training": "{", "steps": 1}, {"training": '{"image_shape_px": [1]}', "steps": 1}]
)
def test_a_network_without_notes_is_refused(notes):
    with pytest.raises(InputError, match=r"n\.pt: notes: found none of its training"):
        read_depth_notes(notes, "n.pt")
