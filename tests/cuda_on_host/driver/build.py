"""A `libcuda.so.1` for machines without a GPU, built by g++."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent


@cache
def driver_folder() -> Path:
    """The folder with the library, for LD_LIBRARY_PATH; built again where a source changed."""
    sources = sorted(HERE.glob("*.?pp"))
    inputs = [*sources, *sorted(HERE.parent.glob("*/*.hpp"))]
    key = hashlib.sha256(b"".join(each.read_bytes() for each in inputs)).hexdigest()[:16]
    root = Path(tempfile.gettempdir()) / f"geoaware-{os.getuid()}"
    root.mkdir(mode=0o700, exist_ok=True)
    if root.is_symlink() or root.stat().st_uid != os.getuid():
        raise RuntimeError(f"{root} belongs to someone else; remove it")
    built = root / f"driver-{key}"
    if not built.is_dir():
        with tempfile.TemporaryDirectory(dir=root) as folder:
            made = Path(folder) / "made"
            made.mkdir()
            command = ["g++", "-O1", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-shared"]
            command += ["-fPIC", "-Wl,-soname,libcuda.so.1", "-o", str(made / "libcuda.so.1")]
            command += [str(each) for each in sources if each.suffix == ".cpp"]
            subprocess.run([*command, "-ldl", "-pthread"], check=True)
            try:
                made.rename(built)
            except OSError:  # another process built it meanwhile
                if not built.is_dir():
                    raise
    return built
