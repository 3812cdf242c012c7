"""What can go wrong on the way to a GPU."""


class CudaError(RuntimeError):
    """There is no usable GPU, driver or compiler, or a call to them failed; says how to mend it."""


class CudaMemoryError(CudaError):
    """The GPU's memory does not suffice."""


class NoDriverError(CudaError):
    """This machine has no NVIDIA driver."""
