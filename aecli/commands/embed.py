"""`aecli embed`: the codes as a map."""

from aecli.cli.options import EmbedOptions, one_run, open_chosen, parse_options


def main(arguments: list[str]) -> None:
    """Map the codes of the run that the command line names.

    Raises:
        UsageError: it is no finished run, or what is asked for makes no sense.
        DataError, StorageError: its images or its files cannot be used.
    """
    options = parse_options("embed", EmbedOptions, arguments)
    path = one_run("embed", options)

    # A mistake in the line is told without waiting for torch.
    from aecli.uses.embed import embed

    trained = open_chosen(path, options)
    embed(trained, options.map, options.n, options.k, options.seed)
