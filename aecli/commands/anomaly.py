"""`aecli anomaly`: what a run was not trained on, found by its error."""

from aecli.cli.options import AnomalyOptions, one_run, open_chosen, parse_options


def main(arguments: list[str]) -> None:
    """Look for anomalies by the run that the command line names.

    Raises:
        UsageError: it is no finished run, or what is asked for makes no sense.
        DataError, StorageError: its images or its files cannot be used.
    """
    options = parse_options("anomaly", AnomalyOptions, arguments)
    path = one_run("anomaly", options)

    # A mistake in the line is told without waiting for torch.
    from aecli.uses.anomaly import anomaly

    trained = open_chosen(path, options)
    anomaly(trained, options.fpr, options.seed)
