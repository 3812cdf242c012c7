"""`python -m geoaware.export` is `geoexport`."""

from .cli import geoexport

geoexport()
