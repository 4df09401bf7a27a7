"""The zarr arrays of a store: layout, chunks, outputs and parameters."""
