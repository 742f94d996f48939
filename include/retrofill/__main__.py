"""The command line, as ``python -m retrofill``."""

from retrofill.cli import main

if __name__ == "__main__":
    main()
