"""Stores: journals that lose nothing, zarr that holds it, labelled views of it."""
