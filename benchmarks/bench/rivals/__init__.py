"""What people would use instead of geoaware; each imports what it needs when it is asked for."""
