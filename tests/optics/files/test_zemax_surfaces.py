"""SURF blocks alone: shapes from their parameters."""

import pytest

from optics.files.notices import Log
from optics.files.zemax_surfaces import Command, read_block, scale_block
from psf.errors import InputError


def block(*lines, strict=True):
    commands = [Command(1, "SURF", ("1",), "1", False)]
    for number, line in enumerate(lines, start=2):
        word, *values = line.split()
        commands.append(Command(number, word, tuple(values), " ".join(values), True))
    return read_block(commands, Log("f", strict=strict))


def test_extended_terms_are_divided_by_powers_of_the_radius():
    draft = block("TYPE XASPHERE", "XDAT 1 3", "XDAT 2 4", "XDAT 3 16", "XDAT 5 4096", "XDAT 6 99").draft
    assert dict(draft.terms) == {2: 1.0, 6: 1.0}


@pytest.mark.parametrize("degree", [2, 4, 6, 8])
def test_a_round_polynomial_in_x_and_y_is_a_power_of_r(degree):
    from math import comb

    first = degree * (degree + 1) // 2  # term number of x^degree
    lines = ["TYPE XPOLYNOM", f"XDAT 1 {first + degree}", "XDAT 2 1"]
    lines += [f"XDAT {2 + first + 2 * j} {comb(degree // 2, j)}" for j in range(degree // 2 + 1)]
    assert dict(block(*lines).draft.terms) == {degree: 1.0}


@pytest.mark.parametrize("at", [3, 4, 6])
def test_a_polynomial_that_is_not_round_is_refused(at):
    with pytest.raises(InputError, match="not round"):
        block("TYPE XPOLYNOM", "XDAT 1 5", "XDAT 2 1", f"XDAT {at} 1e-3")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["TYPE XASPHERE", "XDAT 1 2", "XDAT 2 0", "XDAT 4 1"], "normalisation radius"),
        (["TYPE XASPHERE", "XDAT 1 30", "XDAT 2 1", "XDAT 30 1"], "power 56"),
        (["TYPE XASPHERE", "XDAT 1 2", "XDAT 2 1", "PARM 1 3"], "parameters of XASPHERE"),
        (["TYPE EVENASPH", "PARM 9 1"], "parameter 9"),
        (["TYPE EVENASPH", "PARM 1.5 1"], "whole number"),
        (["CURV"], ""),
    ],
)
def test_parameters_that_mean_something_else_are_refused(lines, said):
    if not said:
        assert block(*lines).draft.curvature_per_mm == 0
        return
    with pytest.raises(InputError, match=said):
        block(*lines)


def test_a_block_in_inches_is_scaled():
    scaled = scale_block(block("TYPE EVENASPH", "CURV 2", "PARM 2 1", "DISZ 3", "DIAM 1 1"), 25.4).draft
    assert (scaled.curvature_per_mm, scaled.thickness_mm, scaled.semi_aperture_mm) == (2 / 25.4, 3 * 25.4, 25.4)
    assert scaled.terms[4] == pytest.approx(25.4**-3, rel=1e-15)
