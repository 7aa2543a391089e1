"""`python -m rnnkit` is the command `rnnkit`."""

from rnnkit.cli import main

if __name__ == "__main__":
    main()
