"""Score a trained model class by class, compared with PCA.

usage: aecli evaluate RUN [key=value ...]

Scores a trained model on the test images, overall and by class, compared with PCA of the same
latent size, and shows the images that it reconstructs best and worst. PCA is left out, with a
notice, if the training images are no longer those that the run was trained on.

For a linear network it also measures the angles between its subspace and that of PCA.

For a variational autoencoder with a Bernoulli likelihood (regularizer=vae loss=bce),
likelihood=5000 estimates the negative log-likelihood of the test images by importance sampling with
5,000 codes each. The images are binarised, each pixel once, with its grey value as the probability.
It takes 5,000 times as long as decoding them.

With images=..., it says which of your images the run was trained or validated on.

examples:
  aecli evaluate outputs/conv-z25/2026-11-21_10-15-00-123456
  aecli evaluate latest likelihood=5000
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from aecli.cli import console
from aecli.cli.options import RunOptions, one_run, open_chosen, parse_options
from aecli.errors.text import counted
from aecli.runtime.progress import Bar

if TYPE_CHECKING:
    from aecli.analysis.evaluate import Evaluation
    from aecli.evaluation.likelihood import Likelihood
    from aecli.runs.trained import Trained


@dataclass
class Options(RunOptions):
    """Which run to evaluate, and on which images."""

    likelihood: int | None = None
    """Codes drawn for each image to estimate the negative log-likelihood of a variational
    autoencoder, as in 5000; with fewer it is a looser upper bound. null: no estimate."""


def main(arguments: list[str]) -> None:
    """Score a run's model by class, and save and print the scores.

    Raises:
        UsageError: the run is not finished.
        DataError, StorageError: the run's images or files cannot be used.
    """
    options = parse_options("evaluate", Options, arguments)
    path = one_run("evaluate", options)

    from aecli.analysis.evaluate import check_likelihood, evaluate, extremes_figure, mse_figure
    from aecli.runs.results import Results

    trained = open_chosen(path, options)
    if options.likelihood is not None:
        check_likelihood(trained, options.likelihood)
    with Results.for_run(trained.run, "evaluate", options.output) as results:
        evaluation = evaluate(trained)
        found = _likelihood(trained, options.likelihood) if options.likelihood else None
        pca, angles = evaluation.overall.get("pca"), evaluation.angles_to_pca
        title = f"{trained.config.name} on the {trained.images_name}"
        results.figure("mse-by-class", mse_figure(title, evaluation.rows))
        results.figure("extremes", extremes_figure(title, evaluation.extremes))
        results.numbers(
            {
                **asdict(evaluation.overall["model"]),
                **({} if pca is None else {"mse_pca": pca.mse}),
                **({} if angles is None else {"angles_to_pca": angles}),
                **_likelihood_numbers(found),
                "used_in_training": {
                    name: trained.image_names(numbers)
                    for name, numbers in trained.used_in_training.items()
                },
                "all": {name: asdict(each) for name, each in evaluation.overall.items()},
                "by_class": {
                    name: {label: asdict(score) for label, score in scores.items()}
                    for name, scores in evaluation.by_class.items()
                },
            }
        )
    console.table(_table(title, evaluation))
    if angles is not None:
        console.facts({"subspace": console.describe_angles(angles)})
    if found is not None:
        console.facts({"likelihood": _describe(found)})
    console.facts({"results": str(results.folder)})


def _likelihood(trained: Trained, samples: int) -> Likelihood:
    """Estimate the likelihood, with a progress bar."""
    from aecli.analysis.evaluate import likelihood

    with Bar("drawing codes", len(trained.images), "images") as bar:
        return likelihood(trained, samples, bar.advance)


def _likelihood_numbers(found: Likelihood | None) -> dict[str, Any]:
    if found is None:
        return {}
    return {
        "negative_log_likelihood": found.mean,
        "negative_log_likelihood_standard_error": found.standard_error,
        "likelihood_samples": found.samples,
    }


def _describe(found: Likelihood) -> str:
    error = found.standard_error
    spread = "" if error is None else f" ± {error:.2f} (standard error)"
    count = len(found.per_image)
    return (
        f"-log p = {found.mean:.2f}{spread} nats an image, over {counted(count, 'binarised image')}"
        f" with {found.samples:,} codes each"
    )


def _table(title: str, evaluation: Evaluation) -> Table:
    """A row for each class, the first over all of them: the model's scores, and PCA's mse if it was
    measured."""
    table = console.new_table(title)
    table.add_column("class")
    for name in ("images", "mse", "PCA mse", "ratio to PCA", "sse", "psnr (dB)", "ssim"):
        table.add_column(name, justify="right")
    for number, row in enumerate(evaluation.rows):
        score = row.model
        table.add_row(
            Text(row.label),
            f"{row.images:,}",
            f"{score.mse:.6f}",
            "" if row.pca is None else f"{row.pca.mse:.6f}",
            "" if row.ratio_to_pca is None else f"{row.ratio_to_pca:.3f}",
            f"{score.sse:.3f}",
            f"{score.psnr:.2f}",
            "" if score.ssim is None else f"{score.ssim:.4f}",
            style="" if number else "bold",
            end_section=not number,
        )
    return table
