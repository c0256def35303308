"""One module a command: `aecli NAME` calls its main(arguments)."""
