"""The page of a sweep on Dask's dashboard, and the same as JSON beside it."""
