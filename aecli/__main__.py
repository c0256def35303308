"""`python -m aecli` is the `aecli` command."""

from aecli.cli.main import main

if __name__ == "__main__":
    main()
