import pytest

from optics.files.notices import Log, Notice, weighty
from psf.errors import InputError


def test_notices_come_by_line_and_skipped_ones_together():
    log = Log("f")
    log.skip("VERS: nothing", 3)
    log.note("guessed", "a sensor")
    log.skip("VERS: nothing", 9)
    log.note("fallback", "a glass", 2)
    assert [str(one) for one in log.notices()] == [
        "guessed: a sensor",
        "line 2: fallback: a glass",
        "line 3: skipped: VERS: nothing (2 lines)",
    ]
    assert [one.kind for one in weighty(log.notices())] == ["guessed", "fallback"]


def test_a_strict_log_refuses_and_a_lenient_one_tells():
    with pytest.raises(InputError, match="f:4: found a tilt, expected none"):
        Log("f").refuse(4, "a tilt", "none")
    log = Log("f", strict=False)
    log.refuse(4, "a tilt", "none")
    assert log.notices() == (Notice(4, "dropped", "a tilt (expected none)"),)
