"""`aecli sample`: images from codes that no image was encoded to."""

from aecli.cli.options import SampleOptions, one_run, open_chosen, parse_options


def main(arguments: list[str]) -> None:
    """Sample from the run that the command line names.

    Raises:
        UsageError: it is no finished run, or what is asked for makes no sense.
        DataError, StorageError: its images or its files cannot be used.
    """
    options = parse_options("sample", SampleOptions, arguments)
    path = one_run("sample", options)

    # A mistake in the line is told without waiting for torch.
    from aecli.uses.sample import sample

    trained = open_chosen(path, options)
    sample(trained, options.n, options.density, options.components, options.seed)
