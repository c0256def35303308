"""`aecli probe`: what a linear classifier makes of the codes."""

from aecli.cli.options import ProbeOptions, one_run, open_chosen, parse_options


def main(arguments: list[str]) -> None:
    """Probe the run that the command line names.

    Raises:
        UsageError: it is no finished run, or what is asked for makes no sense.
        DataError, StorageError: its images or its files cannot be used.
    """
    options = parse_options("probe", ProbeOptions, arguments)
    path = one_run("probe", options)

    # A mistake in the line is told without waiting for torch.
    from aecli.uses.probe import probe

    trained = open_chosen(path, options)
    probe(trained, options.labels, options.draws, options.seed)
