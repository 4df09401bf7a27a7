"""The commands of ``toolkit``: at their top they import the standard library and click."""
