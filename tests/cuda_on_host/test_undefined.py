"""The build that finds what C++ leaves undefined."""

from __future__ import annotations

import numpy as np
import pytest

from geoaware.kernels.cuda.arrays import DeviceArray
from geoaware.kernels.cuda.errors import CudaError

from .host_device import HostDevice

# kernel: an argument that is fine, one that is not, what the error says
MISTAKES = {
    "vector_load": (4, 5, "a misaligned or null address"),
    "array_index": (3, 4, "an index past its array"),
    "shift": (31, 32, "a shift by too much"),
    "product": (32767, 32768, "overflow of a signed product"),
}


@pytest.mark.parametrize("kernel", MISTAKES)
def test_what_is_undefined_is_found(kernel: str, host: HostDevice):
    fine, wrong, said = MISTAKES[kernel]
    host.checks = "undefined"
    out = DeviceArray.of(host, np.zeros(64, np.float32))
    launch = host.kernel("undefined", kernel).launch
    launch((1,), (4,), [out, np.int32(fine)])
    with pytest.raises(CudaError, match=rf"undefined behaviour: {said}.* at .*undefined\.cu:\d+"):
        launch((1,), (4,), [out, np.int32(wrong)])
