import math

import pytest

from psf import Channel, InputError


def test_weights_are_even_unless_given():
    assert Channel("R", (0.6, 0.65)).weights == (1.0, 1.0)
    assert Channel("G").wavelengths_um == ()
    assert Channel("R", [0.6], [2]) == Channel("R", (0.6,), (2.0,))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("",), ["name"]),
        (("R", (0.0,)), ["wavelengths_um", "positive"]),
        (("R", (math.nan,)), ["wavelengths_um"]),
        (("R", (0.6,), (1.0, 2.0)), ["weights", "2 of them", "1 wavelengths"]),
        (("R", (0.6,), (-1.0,)), ["weights"]),
        (("R", (0.6,), (0.0,)), ["weights", "positive sum"]),
    ],
)
def test_wrong_channels_are_named(arguments, words):
    with pytest.raises(InputError) as error:
        Channel(*arguments)
    assert all(word in str(error.value) for word in words)
