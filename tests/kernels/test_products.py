"""Products in parts are products, whoever shares them, and take no thread that BLAS may not."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from geoaware.kernels import one_thread, products


def matrix(rows: int, channels: int = 256) -> np.ndarray:
    return np.random.default_rng(rows).standard_normal((rows, channels)).astype(np.float32)


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of the threads that multiplied."""
    names: set[str] = set()
    multiply = np.matmul

    def matmul(*args: object, **kwargs: object) -> object:
        names.add(threading.current_thread().name)
        return multiply(*args, **kwargs)

    monkeypatch.setattr(products.np, "matmul", matmul)
    return names


@pytest.mark.parametrize("rows", [0, 1, 2, 12, 25, 26, 200])
@pytest.mark.parametrize("in_place", [True, False])
def test_parts_make_the_whole(rows: int, in_place: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(products, "_multiplies_in_place", lambda: in_place)
    a, b = matrix(rows), matrix(1025)
    found = products.products(a, b)
    np.testing.assert_allclose(found, a.astype(float) @ b.T.astype(float), atol=1e-4)
    with one_thread():  # nobody shares
        np.testing.assert_array_equal(products.products(a, b), found)


@pytest.mark.parametrize(("limit", "threads"), [(1, 1), (2, 2)])
def test_it_is_shared_where_blas_may_take_several_threads(limit: int, threads: int, used: set[str]):
    with threadpool_limits(limit, user_api="blas"):
        products.products(matrix(200), matrix(1025))
    assert len(used) == threads


def test_who_comes_while_others_multiply_is_alone(used: set[str]):
    with threadpool_limits(2, user_api="blas"), one_thread():
        products.products(matrix(200), matrix(1025))
    assert len(used) == 1


@pytest.mark.parametrize("row", [0, 1024])
def test_values_that_are_not_finite_are_refused(row: int):
    b = matrix(1025)
    b[row, 3] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite"), threadpool_limits(2, user_api="blas"):
        products.products(matrix(200), b)


def test_a_thread_that_outlives_the_main_one_still_multiplies():
    code = """
import threading, numpy as np
from threadpoolctl import threadpool_limits
from geoaware.kernels.products import products

threadpool_limits(2, user_api="blas")
main = threading.main_thread()

def late():
    main.join()
    print(products(np.ones((200, 256), np.float32), np.ones((1025, 256), np.float32)).mean())

threading.Thread(target=late).start()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("256.0\n", "")


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="no fork on this system")
def test_a_fork_has_a_second_thread_of_its_own():
    code = """
import os, numpy as np
from threadpoolctl import threadpool_limits
from geoaware.kernels.products import products

threadpool_limits(2, user_api="blas")
a, b = np.ones((200, 256), np.float32), np.ones((1025, 256), np.float32)
products(a, b)
child = os.fork()
products(a, b)
if child:
    print(os.waitpid(child, 0)[1])
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=30
    )
    assert (done.stdout, done.stderr) == ("0\n", "")
