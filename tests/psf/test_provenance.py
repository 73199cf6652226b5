import math

import pytest

from psf import InputError, Provenance
from psf.provenance import name_version


def test_json_and_back_is_the_same():
    origin = Provenance(
        "f2.2", "US 9,651,759 B2", "ab" * 32, "psfield 0.1", {"depths_m": (0.1, math.inf), "n": {"a": 1}}
    )
    assert Provenance.from_json(origin.to_json()) == origin
    assert "\n" not in origin.to_json()


def test_arguments_are_a_private_copy():
    arguments = {"radii": [0.0, 1.0]}
    origin = Provenance(arguments=arguments)
    arguments["radii"].append(2.0)
    assert origin.arguments == {"radii": [0.0, 1.0]}
    assert origin.with_arguments(more=1).arguments == {"radii": [0.0, 1.0], "more": 1}
    assert "more" not in origin.arguments


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Provenance(lens=3), ["Provenance.lens", "3", "text"]),
        (lambda: Provenance(arguments={"a": object()}), ["Provenance.arguments", "JSON"]),
        (lambda: Provenance.from_json("{"), ["provenance"]),
        (lambda: Provenance.from_json('{"unknown": 1}'), ["provenance", "unknown"]),
    ],
)
def test_wrong_origins_are_named(call, words):
    with pytest.raises(InputError) as error:
        call()
    assert all(word in str(error.value) for word in words)


def test_the_version_says_which_program_it_is_of():
    assert name_version().startswith("psfield ")
