"""Execution: windows of batches sized by the clock, on Dask or in this process."""
