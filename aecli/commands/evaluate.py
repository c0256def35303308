"""`aecli evaluate`: how well a trained model does, class by class, beside PCA."""

from aecli.cli.options import EvaluateOptions, one_run, open_chosen, parse_options


def main(arguments: list[str]) -> None:
    """Measure the run that the command line names.

    Raises:
        UsageError: it is no finished run.
        DataError, StorageError: its images or its files cannot be used.
    """
    options = parse_options("evaluate", EvaluateOptions, arguments)
    path = one_run("evaluate", options)

    # A mistake in the line is told without waiting for torch.
    from aecli.uses.evaluate import evaluate

    evaluate(open_chosen(path, options))
