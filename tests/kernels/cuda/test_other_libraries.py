"""Arrays of other libraries matched where they lie, on the GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from geoaware.kernels import SoftArgmax, match
from geoaware.kernels.cuda.arrays import DeviceArray
from geoaware.kernels.cuda.errors import CudaError
from geoaware.kernels.cuda.open import open_device
from geoaware.kernels.similarity import unit

pytestmark = pytest.mark.gpu
Give = Callable[[NDArray[Any]], Any]
SOFT = SoftArgmax(window=3, temperature=0.1, variant="zeroed")


@pytest.fixture(autouse=True)
def _gpu() -> None:
    try:
        open_device()
    except CudaError as problem:
        pytest.skip(str(problem))


def ours(array: NDArray[Any]) -> DeviceArray:
    return DeviceArray.of(open_device(), array)


def tensor(array: NDArray[Any]) -> Any:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip(f"PyTorch {torch.__version__} has no CUDA here")
    return torch.from_numpy(array).cuda()


def cupy_array(array: NDArray[Any]) -> Any:
    cupy = pytest.importorskip("cupy", exc_type=ImportError)
    return cupy.asarray(array)


def descriptors() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Queries (12, 48), and a target (13, 11, 48) that has each of them in one place."""
    random = np.random.default_rng(0)
    target = unit(random.standard_normal((13, 11, 48)))
    chosen = target.reshape(-1, 48)[random.choice(143, 12, replace=False)]
    return unit(chosen + 0.02 * random.standard_normal(chosen.shape)), target


@pytest.mark.parametrize("give", [ours, tensor, cupy_array])
def test_the_arrays_of_a_library_are_matched_as_numpys_are(give: Give):
    queries, target = descriptors()
    found, expected = match(give(queries), give(target), SOFT).numpy(), match(queries, target, SOFT)
    np.testing.assert_array_equal(found.peaks, expected.peaks)
    np.testing.assert_allclose(found.similarity, expected.similarity, atol=1e-5)
    np.testing.assert_allclose(found.cells, expected.cells, atol=1e-3)


@pytest.mark.parametrize("give", [tensor, cupy_array])
def test_results_are_a_librarys_without_a_copy(give: Give):
    queries, target = (give(each) for each in descriptors())
    cells = match(queries, target, SOFT).cells
    library = {"torch": "torch", "cupy": "cupy"}[type(queries).__module__.partition(".")[0]]
    taken = pytest.importorskip(library).from_dlpack(cells)
    assert tuple(taken.shape) == (12, 2)
    host = taken.cpu().numpy() if library == "torch" else taken.get()
    np.testing.assert_array_equal(host, cells.numpy())


def test_what_pytorch_still_computes_on_another_stream_is_waited_for():
    queries, target = descriptors()
    expected = match(queries, target, SOFT)
    given, late = tensor(queries), tensor(target)
    torch = pytest.importorskip("torch")
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):
        busy = torch.randn(4096, 4096, device="cuda")
        for _ in range(10):
            busy = (busy @ busy).clamp(-1, 1)
        zero = busy.flatten()[0].clamp(0, 0)
        found = match(given, late + zero, SOFT)
    np.testing.assert_array_equal(found.numpy().peaks, expected.peaks)
