import pytest
import torch

from learn.deblur.fitting import FramePlace, check_lens, knows_lens, place_frame, read_lens
from learn.deblur.notes import make_notes, read_notes
from psf import InputError
from render import RawFile


@pytest.fixture
def notes(synthesis):
    """Of a sensor of 280 x 220 px."""
    return read_notes(make_notes(synthesis, 1), "n.pt")


def photo_of(make, lens):
    black = torch.zeros(4)
    return RawFile(torch.zeros((4, 4), dtype=torch.uint16), "RGGB", black_dn=black, white_dn=1.0, make=make, lens=lens)


def test_a_few_pixels_more_or_less_at_the_borders_share_the_centre(notes):
    assert place_frame((220, 280), notes) == FramePlace(0.0, 0.0, (220, 280))
    assert place_frame((218, 283), notes) == FramePlace(-1.5, 1.0, (220, 280))


@pytest.mark.parametrize("shape_px", [(110, 140), (440, 560), (280, 220), (220, 300)])
def test_another_size_is_refused_in_a_line_that_says_what_to_do(notes, shape_px):
    with pytest.raises(
        InputError, match=r"^sensor: found a photograph of .* the network's 280 x 220 px .*--any-sensor"
    ):
        place_frame(shape_px, notes)


def test_a_smaller_photograph_is_told_the_window_of_the_middle(notes):
    with pytest.raises(InputError, match="--window 90 60 if it is the middle of that sensor"):
        place_frame((100, 100), notes)
    assert place_frame((100, 100), notes, window_px=(90, 60)) == FramePlace(90.0, 60.0, (220, 280))
    with pytest.raises(InputError) as larger:
        place_frame((300, 100), notes)
    assert "--window" not in str(larger.value)


def test_another_size_is_taken_for_a_sensor_of_its_own_when_told(notes):
    assert place_frame((110, 140), notes, any_sensor=True) == FramePlace(0.0, 0.0, (110, 140))
    with pytest.raises(InputError, match="window_px"):
        place_frame((110, 140), notes, any_sensor=True, window_px=(0, 0))


def test_a_part_of_a_frame_lies_where_its_window_says(notes):
    assert place_frame((100, 100), notes, window_px=(30, 7)) == FramePlace(30.0, 7.0, (220, 280))
    with pytest.raises(InputError, match="a photograph of 100 x 100 px at column 181, row 7"):
        place_frame((100, 100), notes, window_px=(181, 7))


def test_the_lens_of_the_training_is_known_by_its_numbers(lens, notes, camera, tmp_path):
    lens().save(tmp_path / "same.h5")
    camera.save(tmp_path / "camera")
    check_lens(read_lens(tmp_path / "same.h5"), tmp_path / "same.h5", notes, "n.pt")
    check_lens(read_lens(tmp_path / "camera"), tmp_path / "camera", notes, "n.pt")
    lens(seed=1).save(tmp_path / "other.h5")
    with pytest.raises(InputError, match=r"other.h5: found the lens .* for which n.pt was trained"):
        check_lens(read_lens(tmp_path / "other.h5"), tmp_path / "other.h5", notes, "n.pt")


def test_only_the_simulated_camera_names_lenses_as_fields_do(synthesis):
    whole = make_notes(synthesis, 1)
    named = read_notes({**whole, "synthesis": whole["synthesis"].replace('"lens": ""', '"lens": "f2.2"')}, "n.pt")
    assert named.lens == "f2.2"
    assert knows_lens(photo_of("psfield", "f2.2"), named, "n.pt")
    assert not knows_lens(photo_of("Maker", "Maker 3.3 mm f/2.2"), named, "n.pt")
    assert not knows_lens(photo_of("psfield", ""), named, "n.pt")
    with pytest.raises(InputError, match=r"^lens: found other, expected f2.2, for which n.pt was trained"):
        knows_lens(photo_of("psfield", "other"), named, "n.pt")
