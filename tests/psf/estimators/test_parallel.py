import pytest

from psf.estimators.parallel import map_parts


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_parts(threads):
    assert list(map_parts(lambda n: n * n, range(20), threads)) == [n * n for n in range(20)]


def test_an_error_in_a_part_is_raised():
    def fail(n: int) -> int:
        raise ValueError(f"part {n}")

    with pytest.raises(ValueError, match="part 0"):
        list(map_parts(fail, range(4), 2))
