"""The main example, ``make demo``: an influenza outbreak, a sweep, a fit, a picture."""
