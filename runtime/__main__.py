"""`python -m geoaware.runtime` is `georun`."""

from .cli import georun

georun()
