"""Points to run next, chosen by what is known so far."""
