"""``python -m toolkit``: the ``toolkit`` command of this interpreter."""

from toolkit.cli import main

if __name__ == "__main__":
    main(prog_name="toolkit")
