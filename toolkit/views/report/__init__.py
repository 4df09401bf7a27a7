"""A store as one HTML file, to be read anywhere: no script, no network, light and dark."""
