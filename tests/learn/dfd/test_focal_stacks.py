from dataclasses import replace

import pytest
import torch

from learn.dfd.focal_stacks import FocalStack, check_fields, check_focus, view_stack
from learn.dfd.stack_synthesis import draw_stack
from psf import InputError


@pytest.fixture(scope="module")
def stack(synthesis):
    return view_stack(draw_stack(synthesis.varied(blur="blend"), 0))


def test_a_view_has_the_samples_place(synthesis, stack):
    sample = draw_stack(synthesis.varied(blur="blend"), 0)
    assert torch.allclose(stack.radius, sample.radius, atol=1e-6)
    assert torch.equal(stack.pictures, sample.stack)


def test_a_part_knows_where_it_lies(stack):
    part = stack.cropped(5, 7, 10, 12)
    assert part.shape_px == (12, 10)
    assert torch.allclose(part.radius, stack.radius[:, 7:19, 5:15], atol=1e-7)


def test_no_shuffled_picture_keeps_its_focus_distance(stack):
    for count in (2, 3):
        some = replace(stack, pictures=stack.pictures[:count], focus_m=stack.focus_m[:count])
        moved = some.shuffled()
        assert torch.equal(moved.focus_m, some.focus_m)
        assert not any(torch.equal(a, b) for a, b in zip(moved.pictures, some.pictures, strict=True))


def test_encodings_go_both_ways(stack):
    again = stack.encoded("srgb").encoded("linear")
    assert torch.allclose(again.pictures, stack.pictures, atol=1e-5)
    assert stack.encoded("linear") is stack
    with pytest.raises(InputError, match="'gamma'"):
        stack.encoded("gamma")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pictures": torch.ones(1, 3, 8, 8), "focus_m": torch.ones(1)}, "1 picture, expected at least 2"),
        ({"pictures": torch.ones(2, 4, 8, 8)}, "expected floats of shape"),
        ({"pictures": torch.full((2, 3, 8, 8), torch.nan)}, "not finite"),
        ({"focus_m": torch.ones(3)}, "3 focus distances, expected 2"),
        ({"focus_m": torch.tensor([0.0, 1.0])}, "distances above 0"),
        ({"window_px": (155, 0)}, "8 x 8 px inside a sensor of 160 x 120"),
    ],
)
def test_what_is_no_stack_is_refused(changes, words):
    good = {"pictures": torch.ones(2, 3, 8, 8), "focus_m": torch.tensor([0.5, 1.0]), "image_shape_px": (120, 160)}
    with pytest.raises(InputError) as caught:
        FocalStack(**{**good, **changes})
    assert words in str(caught.value)


def test_fields_of_other_pictures_are_refused(stack, fields):
    check_fields(stack, fields)
    with pytest.raises(InputError, match="fields: found 2 of them, expected 3"):
        check_fields(stack, fields[:2])
    with pytest.raises(InputError, match=r"focus distances 0.6, 0.72, 1.415 m, expected those of the pictures, 0.5"):
        check_focus([0.6, 0.72, 1.415], [0.5, 0.72, 1.415], "fields")
    with pytest.raises(InputError, match="in ascending order"):
        check_focus([0.72, 0.5], [0.72, 0.5], "fields")
    with pytest.raises(InputError, match="a sensor of 80 x 60 px"):
        check_fields(stack, [replace(one, image_shape_px=(60, 80)) for one in fields])
    # As people type them.
    check_focus([0.5, 0.72, 1.415], [0.5, 0.72, 1.4], "fields")
