"""`aecli reconstruct`: what a trained model makes of images."""

from aecli.cli.options import ReconstructOptions, one_run, open_chosen, parse_options


def main(arguments: list[str]) -> None:
    """Reconstruct test images of the run that the command line names.

    Raises:
        UsageError: it is no finished run, or what is asked for makes no sense.
        DataError, StorageError: its images or its files cannot be used.
    """
    options = parse_options("reconstruct", ReconstructOptions, arguments)
    path = one_run("reconstruct", options)

    # A mistake in the line is told without waiting for torch.
    from aecli.uses.reconstruct import reconstruct

    trained = open_chosen(path, options)
    reconstruct(trained, options.count, options.corrupt)
