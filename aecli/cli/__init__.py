"""The command line: parsing, dispatch, help and terminal output."""
