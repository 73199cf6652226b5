import pytest

from psf.threads import limit_threads


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny networks are slower with more."""
    with limit_threads(1):
        yield
