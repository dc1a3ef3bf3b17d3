"""Where cores share small matrices they only wait: fits would take many times as long."""

import pytest
import scipy.linalg  # noqa: F401  libraries are found once they are there
from threadpoolctl import threadpool_info, threadpool_limits

import mentor
import samples
from mentor.blas import LARGE, threads_for
from mentor.fit import linearised


def threads() -> set[int]:
    """Of the libraries behind numpy and scipy."""
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def several():
    """As many threads as a machine of two cores has by default."""
    with threadpool_limits(2, user_api="blas"):
        if threads() != {2}:
            pytest.skip("this linear algebra has one thread")
        yield


def test_large_matrices_keep_all_threads_and_small_ones_one():
    with threads_for(LARGE):
        assert threads() == {2}
        with threads_for(LARGE - 1):
            assert threads() == {1}
        assert threads() == {2}
    with pytest.raises(KeyError), threads_for(10):
        raise KeyError
    assert threads() == {2}


def test_a_fit_takes_one_thread_and_gives_the_others_back(monkeypatch):
    """In each of its factorisations, also in those of the posterior."""
    seen, factor = [], linearised.dtpqrt

    def watched(*given, **options):
        seen.append(threads())
        return factor(*given, **options)

    monkeypatch.setattr(linearised, "dtpqrt", watched)
    mentor.train(samples.methanol(10), level=6, cutoff=4.0, starts=2, max_iterations=3)
    assert len(seen) > 10
    assert all(each == {1} for each in seen)
    assert threads() == {2}
