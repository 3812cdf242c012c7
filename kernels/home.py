"""Where this machine keeps what was made on it: built bundles, compiled kernels."""

import os
from pathlib import Path


def home() -> Path:
    """`$GEOAWARE_HOME`, or the user's cache directory."""
    if chosen := os.environ.get("GEOAWARE_HOME"):
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("geoaware"))
