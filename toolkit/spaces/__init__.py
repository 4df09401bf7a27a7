"""Parameter spaces: what to vary, and the random streams that follow from the labels."""
