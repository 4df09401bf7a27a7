"""The widget of a sweep in Jupyter: progress, a live picture, failures, workers, buttons."""
