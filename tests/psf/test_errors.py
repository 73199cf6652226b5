import copy
import pickle

import pytest

from psf.errors import InputError, import_extra, one_line


def test_message_is_one_line_of_where_what_and_expected():
    error = InputError("lens.json: surfaces[2].radius_mm", 0, "a number other than 0, or null for a plane")
    assert (
        str(error) == "lens.json: surfaces[2].radius_mm: found 0, expected a number other than 0, or null for a plane"
    )


def test_an_input_error_is_a_value_error():
    with pytest.raises(ValueError, match=r"pitch_um: found -1\.0, expected a positive number"):
        raise InputError("pitch_um", -1.0, "a positive number")


@pytest.mark.parametrize("copied", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy])
def test_error_survives_the_way_out_of_a_worker_process(copied):
    error = copied(InputError("radius", 1.5, "0 to 1"))
    assert isinstance(error, InputError)
    assert (error.where, error.found, error.expected) == ("radius", 1.5, "0 to 1")
    assert str(error) == "radius: found 1.5, expected 0 to 1"


def test_what_an_error_says_over_several_lines_is_one_line():
    assert one_line(ValueError("no such\n   thing\t here\n")) == "no such thing here"


def test_a_library_that_is_missing_is_told_with_the_extra_that_brings_it():
    assert import_extra("math", "maths").pi > 3
    words = r"^no_such_library is not installed; this needs: pip install 'psfield\[all\]'$"
    with pytest.raises(ImportError, match=words):
        import_extra("no_such_library", "all")
