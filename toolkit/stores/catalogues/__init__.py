"""Catalogues: which run id is which point of a space."""
