"""The contents of a comparison: finished runs grouped by settings, and the runs left out."""

import json
import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from aecli.config import TrainConfig, Upsampling, settings
from aecli.config.choices import TRAIN, VALIDATION
from aecli.evaluation.linear import is_linear
from aecli.evaluation.metrics import is_exact
from aecli.runs.diagnosis import Finding, diagnose
from aecli.runs.directory import IMAGE_ERRORS, RunDirectory
from aecli.runs.records import DataFacts, EpochRecord, by_epoch
from aecli.runs.summary import check_summary, closed_early, image_fingerprints, kept_epoch

# The images that figures need of every run; `corrupted` and the epochs are optional.
REQUIRED_IMAGES = {
    "original",
    "output",
    "pca",
    "best/original",
    "best/output",
    "worst/original",
    "worst/output",
    "mean/original",
    "mean/output",
}


@dataclass(frozen=True)
class MeanStd:
    """The mean and standard deviation of a quantity over the seeds."""

    mean: float
    std: float | None
    """Standard deviation of the sample (n - 1); None with a single seed, or if the mean is
    infinite."""

    @classmethod
    def from_values(cls, values: list[float]) -> "MeanStd":
        mean = statistics.fmean(values)
        has_std = len(values) > 1 and math.isfinite(mean)
        return cls(mean, statistics.stdev(values) if has_std else None)

    def times(self, factor: float) -> "MeanStd":
        """Convert to another unit."""
        return MeanStd(self.mean * factor, None if self.std is None else self.std * factor)


@dataclass(frozen=True)
class Result:
    """One finished run."""

    run: RunDirectory
    config: TrainConfig
    data: DataFacts
    val_mse: float | None
    """The mse on the validation images with the weights that were kept, by which runs are chosen.
    None if there are no such images."""
    mse: float
    """The mse on the test images, to which everything below refers as well."""
    sse: float
    psnr: float
    """In dB; infinite if the mse is 0."""
    ssim: float | None
    checkerboard: float | None
    """The score of the outputs for the test images, from 0 to 1."""
    checkerboard_of_originals: float | None
    """The score of the test images themselves, on the same grid."""
    pca_mse: float
    """Test mse of PCA at the same latent size, on the same inputs."""
    mean_image_mse: float
    pca_curve: dict[int, float]
    """Latent size -> test mse of PCA."""
    upsample: str | None
    """None if the model has no such option."""
    parameters: int
    seconds: float
    """Training time."""
    kept_epoch: int
    """The epoch whose weights were kept."""
    records: list[EpochRecord]
    train_size: int
    """Number of training images."""
    training_images: str = ""
    """The fingerprints of training and validation images."""
    closed: str | None = None
    """Why the training was closed early; None if it was not."""
    angles_to_pca: list[float] | None = None
    """For a linear network: see `RunGroup.angle_to_pca`."""
    kernel_pca_mse: float | None = None
    """Test mse of kernel PCA at the same latent size, where it was asked for."""

    @property
    def identity(self) -> str:
        """Equal for a run and its copies, and for the same training done twice."""
        return json.dumps([self.run.weights_digest(), settings(self.config)], sort_keys=True)

    def image_errors(self) -> dict[str, Tensor]:
        """The mse of each test image, (N,), of `model` and of each baseline; read from the disk.

        Empty if an earlier version of aecli trained the run.
        """
        return self.run.load_image_errors()

    def diagnosis(self) -> list[Finding]:
        """What could be better about the run, the most serious problem first."""
        steps = self.config.steps_per_epoch(self.train_size)
        return diagnose(
            self.config,
            self.records,
            self.kept_epoch,
            steps,
            self.mse,
            self.mean_image_mse,
            self.closed,
        )

    @property
    def live_units(self) -> int | None:
        """Units of the code that vary; None if an earlier version trained the run."""
        return self.records[self.kept_epoch - 1].live_units

    @classmethod
    def load(cls, run: RunDirectory) -> "Result":
        """Load a finished run.

        Raises:
            AecliError, OSError, ValueError, TypeError, KeyError, AttributeError, SafetensorError:
                the run is damaged.
        """
        summary = check_summary(run.load_summary(), str(run.summary_file))
        missing = REQUIRED_IMAGES - set(run.load_images())
        if missing:
            raise ValueError(f"{run.images_file.name} lacks {', '.join(sorted(missing))}")
        data = DataFacts.from_summary(summary)
        if any(errors.shape != (data.test,) for errors in run.load_image_errors().values()):
            raise ValueError(f"{IMAGE_ERRORS} does not hold {data.test:,} errors of each kind")
        test, baselines = summary["test"], summary["baselines"]
        fingerprints = image_fingerprints(summary) or {}
        records = [EpochRecord.from_json(line) for line in run.load_metrics()]
        if [record.epoch for record in records] != [*range(1, summary["epochs"] + 1)]:
            raise ValueError(
                f"{run.metrics_file.name} has {len(records)} of {summary['epochs']} epochs"
            )
        records = _with_kept(records, summary, run.metrics_file.name)
        return cls(
            run=run,
            config=run.load_config(),
            data=data,
            training_images=f"{fingerprints.get(TRAIN, '')}{fingerprints.get(VALIDATION, '')}",
            val_mse=_optional(summary["validation"]["mse"]),
            mse=float(test["mse"]),
            sse=float(test["sse"]),
            psnr=math.inf if test["psnr"] is None else float(test["psnr"]),
            ssim=_optional(test["ssim"]),
            checkerboard=_optional(test["checkerboard"]),
            checkerboard_of_originals=_optional(summary["checkerboard_of_originals"]),
            pca_mse=float(baselines["pca"]["mse"]),
            mean_image_mse=float(baselines["mean_image"]["mse"]),
            pca_curve={int(size): float(mse) for size, mse in summary["pca_curve"].items()},
            upsample=summary["upsample"],
            parameters=int(summary["parameters"]),
            seconds=float(summary["seconds"]),
            kept_epoch=kept_epoch(summary),
            records=records,
            train_size=int(summary["data"]["train"]),
            closed=closed_early(summary),
            angles_to_pca=_optional_list(summary.get("angles_to_pca")),
        )


@dataclass(frozen=True)
class RunGroup:
    """Runs that differ only by seed."""

    family: str
    """A name that it shares with the settings that differ only in latent size."""
    differences: dict[str, str]
    """Keys that differ between the compared runs, besides those with a column of their own."""
    results: list[Result]
    """At least one; sorted by seed."""

    @property
    def first(self) -> Result:
        return self.results[0]

    @property
    def model(self) -> str:
        return str(self.first.config.model.name)

    @property
    def upsample(self) -> str | None:
        return self.first.upsample

    @property
    def latent(self) -> int:
        return self.first.config.latent

    @property
    def label(self) -> str:
        return f"{self.family}, latent {self.latent}"

    @property
    def seeds(self) -> list[int]:
        return [result.config.seed for result in self.results]

    @property
    def bypasses_code(self) -> bool:
        """Whether the decoder's input is more than the code, so that it is left out of every
        claim."""
        return self.upsample == Upsampling.max_unpool.name

    @property
    def is_closed_early(self) -> bool:
        """Whether a run was closed before its training was over."""
        return any(result.closed is not None for result in self.results)

    @property
    def is_linear(self) -> bool:
        """See `aecli.evaluation.linear.is_linear`."""
        return is_linear(self.first.config)

    @property
    def angle_to_pca(self) -> MeanStd | None:
        """The largest angle between the decoder's subspace and that of PCA, in degrees; None if the
        network is not linear, or an earlier version trained it."""
        angles = [result.angles_to_pca for result in self.results]
        return _mean_std_of_known([max(each) if each else None for each in angles])

    @property
    def live_units(self) -> list[int] | None:
        """Units of the code that vary, for each seed; None if an earlier version trained a run."""
        known = [result.live_units for result in self.results if result.live_units is not None]
        return known if len(known) == len(self.results) else None

    @property
    def parameters(self) -> int:
        return self.first.parameters

    @property
    def compression(self) -> float:
        """Values in an image per value of its code."""
        return math.prod(self.first.data.image_shape) / self.latent

    @property
    def mse(self) -> float:
        """The mean over the seeds, on the test images."""
        return self.spread("mse").mean

    @property
    def validation(self) -> MeanStd | None:
        """The mse on the validation images, over the seeds; None if there are none."""
        return _mean_std_of_known([result.val_mse for result in self.results])

    @property
    def val_mse(self) -> float | None:
        """The mean of `validation`."""
        return None if self.validation is None else self.validation.mean

    @property
    def pca_mse(self) -> float:
        return statistics.fmean(result.pca_mse for result in self.results)

    @property
    def kernel_pca_mse(self) -> float | None:
        known = _mean_std_of_known([result.kernel_pca_mse for result in self.results])
        return None if known is None else known.mean

    @property
    def ratio_to_pca(self) -> float:
        """Test mse divided by that of PCA at the same latent size; infinite if PCA is exact."""
        return math.inf if is_exact(self.pca_mse) else self.mse / self.pca_mse

    def spread(self, quantity: str) -> MeanStd:
        """The mean and std of `mse`, `sse`, `psnr` or `seconds` over the seeds."""
        return MeanStd.from_values([getattr(result, quantity) for result in self.results])

    @property
    def ssim(self) -> MeanStd | None:
        """None if the images are too small for it."""
        return _mean_std_of_known([result.ssim for result in self.results])

    @property
    def checkerboard(self) -> MeanStd | None:
        """None if the images are too small for it."""
        return _mean_std_of_known([result.checkerboard for result in self.results])


def _with_kept(records: list[EpochRecord], summary: dict[str, Any], name: str) -> list[EpochRecord]:
    """The records, with values from the summary in that of the epoch whose weights were kept:
    without validation images, dead units and pixels are only counted at the end.

    Raises:
        ValueError: the file called `name`, whose records they are, lacks a required value.
    """
    epoch = kept_epoch(summary)
    errors = by_epoch(records, "val_mse")
    is_validated = summary["validation"]["mse"] is not None
    if is_validated and (epoch not in errors or min(errors.values()) < 0):
        raise ValueError(f"{name} has no valid val_mse in epoch {epoch}")
    if not 1 <= epoch <= len(records):
        raise ValueError(f"{name} has no epoch {epoch}")
    if not is_validated:
        records[epoch - 1] = replace(
            records[epoch - 1],
            live_units=summary.get("live_units"),
            constant_pixels=summary.get("constant_pixels"),
        )
    return records


def _optional(number: Any) -> float | None:
    return None if number is None else float(number)


def _optional_list(numbers: Any) -> list[float] | None:
    return None if numbers is None else [float(number) for number in numbers]


def _mean_std_of_known(values: list[float | None]) -> MeanStd | None:
    known = [value for value in values if value is not None]
    return MeanStd.from_values(known) if known else None


def by_family(settings: Sequence[RunGroup]) -> dict[str, list[RunGroup]]:
    """Family -> its settings, in their order."""
    found: dict[str, list[RunGroup]] = defaultdict(list)
    for setting in settings:
        found[setting.family].append(setting)
    return dict(found)


COPY = "copy"
"""The status of a run that is compared under another path."""


@dataclass(frozen=True)
class SkippedRun:
    """A run that was left out of the comparison."""

    path: Path
    status: str
    """failed, interrupted, not started, damaged, or a `COPY`."""
    reason: str


@dataclass(frozen=True)
class Comparison:
    """Finished runs on the same images, and the runs that were left out."""

    data: DataFacts
    settings: list[RunGroup]
    """At least one; by family, then by latent size."""
    skipped: list[SkippedRun]
    common: dict[str, str]
    """Key -> value of the settings that are the same in all runs."""

    @property
    def results(self) -> list[Result]:
        return [result for setting in self.settings for result in setting.results]

    @property
    def families(self) -> dict[str, list[RunGroup]]:
        """Family -> its settings by latent size."""
        return by_family(self.settings)
