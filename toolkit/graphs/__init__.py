"""Stages and a space as a lazy Dataset of dask arrays: each block is made where it is asked for."""
