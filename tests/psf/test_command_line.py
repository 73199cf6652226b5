import warnings

import pytest

from psf import InputError
from psf.arguments import ArgumentError
from psf.command_line import run_command
from psf.jobs import JobError


def raise_(error):
    raise error


@pytest.mark.parametrize(("answer", "code"), [(None, 0), (0, 0), (1, 1)])
def test_a_command_that_ends_has_its_own_code_and_says_nothing(answer, code, capsys):
    assert run_command(lambda: answer) == code
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "error",
    [
        InputError("field", "a duck", "a field"),
        ArgumentError("missing: --out"),
        JobError("three\njobs failed"),
        FileNotFoundError(2, "No such file", "gone.h5"),
        ImportError("scipy is not installed"),
    ],
)
def test_what_users_can_mend_is_one_line_and_code_2(error, capsys):
    assert run_command(lambda: raise_(error)) == 2
    out, said = capsys.readouterr()
    assert out == ""
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert " ".join(str(error).split()) in said


def test_ctrl_c_is_one_line_and_code_130(capsys):
    assert run_command(lambda: raise_(KeyboardInterrupt()), interrupted="stopped") == 130
    assert capsys.readouterr().err == "stopped\n"


def test_a_fault_of_ours_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run_command(lambda: 1 // 0)


def test_warnings_are_a_line_each_but_for_those_meant_for_programmers(capsys):
    def run():
        warnings.warn("the sensor is small", stacklevel=1)
        for kind in (DeprecationWarning, PendingDeprecationWarning, ResourceWarning):
            warnings.warn("for programmers", kind, stacklevel=1)

    before = warnings.filters[:]
    assert run_command(run) == 0
    assert capsys.readouterr().err == "warning: the sensor is small\n"
    assert warnings.filters == before
