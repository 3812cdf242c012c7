"""`python -m geoaware.train` is `geotrain`."""

from .cli import geotrain

geotrain()
