"""The runs of a stage: from journal records to their state and values."""
