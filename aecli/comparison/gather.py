"""The runs below some folders, read and put side by side: what was set, and what came out.

Only run directories are read: neither the data set nor torch's models are needed, and whatever a
figure shows is read when it is drawn, so that memory does not grow with the runs.
"""

import json
import math
import statistics
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from aecli.config import TrainConfig, plain
from aecli.errors import AecliError, UsageError
from aecli.run import RunDirectory, Status, natural_key, runs_below
from aecli.tracking import EpochRecord

# What does not make two runs different: where they lie and ran; the seed is averaged over.
INCIDENTAL = {"name", "output_dir", "data_dir", "device", "seed", "data.name", "data.image_shape"}
# What has a column or an axis of its own.
NAMED = {"latent", "model.latent", "model.name", "upsample.name"}

REQUIRED_IMAGES = {"original", "output", "pca", "best/output", "worst/output"}


@dataclass(frozen=True)
class Spread:
    """A quantity measured once for each seed."""

    mean: float
    std: float | None
    """Of the sample (n - 1); None with one seed, or where the mean is infinite."""

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        mean = statistics.fmean(values)
        has_std = len(values) > 1 and math.isfinite(mean)
        return cls(mean, statistics.stdev(values) if has_std else None)


@dataclass(frozen=True)
class DataFacts:
    """What the images of two runs must share for their errors to be comparable."""

    name: str
    image_shape: tuple[int, ...]
    test: int
    """Images that were measured on."""

    def __str__(self) -> str:
        shape = "x".join(map(str, self.image_shape))
        return f"{self.name} ({shape}, {self.test:,} test images)"


@dataclass(frozen=True)
class Result:
    """One finished run."""

    run: RunDirectory
    config: TrainConfig
    data: DataFacts
    mse: float
    sse: float
    psnr: float
    """In dB; infinite where the mse is 0."""
    ssim: float | None
    pca_mse: float
    """Test mse of PCA at the same latent size, on the same inputs."""
    mean_image_mse: float
    pca_curve: dict[int, float]
    """Latent size -> test mse of PCA."""
    upsample: str | None
    """None where the model has no such choice."""
    parameters: int
    seconds: float
    """Of training."""
    best_epoch: int
    records: list[EpochRecord]

    @classmethod
    def load(cls, run: RunDirectory) -> "Result":
        """A finished run.

        Raises:
            AecliError, OSError, ValueError, TypeError, KeyError, SafetensorError: it is damaged.
        """
        summary = run.load_summary()
        missing = REQUIRED_IMAGES - set(run.load_images())
        if missing:
            raise ValueError(f"{run.images_file.name} lacks {', '.join(sorted(missing))}")
        test, baselines, data = summary["test"], summary["baselines"], summary["data"]
        records = [EpochRecord(**line) for line in run.load_metrics()]
        if len(records) != summary["epochs"]:
            raise ValueError(
                f"{run.metrics_file.name} has {len(records)} of {summary['epochs']} epochs"
            )
        return cls(
            run=run,
            config=run.load_config(),
            data=DataFacts(str(data["name"]), tuple(data["image_shape"]), int(data["test"])),
            mse=float(test["mse"]),
            sse=float(test["sse"]),
            psnr=math.inf if test["psnr"] is None else float(test["psnr"]),
            ssim=None if test["ssim"] is None else float(test["ssim"]),
            pca_mse=float(baselines["pca"]["mse"]),
            mean_image_mse=float(baselines["mean_image"]["mse"]),
            pca_curve={int(size): float(mse) for size, mse in summary["pca_curve"].items()},
            upsample=summary["upsample"],
            parameters=int(summary["parameters"]),
            seconds=float(summary["seconds"]),
            best_epoch=int(summary["best_epoch"]),
            records=records,
        )


@dataclass(frozen=True)
class Setting:
    """The runs that differ by their seed alone."""

    family: str
    """What it is called together with the settings that differ from it by the latent size alone."""
    differences: dict[str, str]
    """The keys that differ among the runs compared, besides those with a column of their own."""
    results: list[Result]
    """At least one; by seed."""

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
    def parameters(self) -> int:
        return self.first.parameters

    @property
    def compression(self) -> float:
        """Numbers in an image for each number of its code."""
        return math.prod(self.first.data.image_shape) / self.latent

    @property
    def pca_mse(self) -> float:
        return statistics.fmean(result.pca_mse for result in self.results)

    @property
    def ratio_to_pca(self) -> float:
        """Below 1 the network is better; infinite where PCA makes no error."""
        return self.spread("mse").mean / self.pca_mse if self.pca_mse else math.inf

    def spread(self, quantity: str) -> Spread:
        """`mse`, `sse`, `psnr` or `seconds` over the seeds."""
        return Spread.of([getattr(result, quantity) for result in self.results])

    @property
    def ssim(self) -> Spread | None:
        """None for images that are too small for it."""
        known = [result.ssim for result in self.results if result.ssim is not None]
        return Spread.of(known) if known else None


@dataclass(frozen=True)
class LeftOut:
    """A run that is not in the comparison."""

    path: Path
    status: str
    """failed, interrupted, not started or damaged."""
    reason: str


@dataclass(frozen=True)
class Comparison:
    """Finished runs on the same images, and those that could not be taken in."""

    data: DataFacts
    settings: list[Setting]
    """At least one; by family, then by latent size."""
    left_out: list[LeftOut]

    @property
    def results(self) -> list[Result]:
        return [result for setting in self.settings for result in setting.results]

    @property
    def families(self) -> dict[str, list[Setting]]:
        """Family -> its settings by latent size."""
        grouped: dict[str, list[Setting]] = defaultdict(list)
        for setting in self.settings:
            grouped[setting.family].append(setting)
        return dict(grouped)


def gather(folders: list[Path]) -> Comparison:
    """Every run below `folders`.

    Raises:
        UsageError: a folder without runs, no run that is finished, or runs on different images.
    """
    runs = {run.path.resolve(): run for folder in folders for run in runs_below(folder)}
    results, left_out = [], []
    for run in runs.values():
        if run.status is not Status.finished:
            left_out.append(_unfinished(run))
            continue
        try:
            results.append(Result.load(run))
        except (AecliError, OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
            left_out.append(LeftOut(run.path, "damaged", _one_line(error)))
    if not results:
        reasons = "; ".join(f"{each.path}: {each.status}, {each.reason}" for each in left_out)
        raise UsageError(f"there is no finished run to compare: {reasons}")
    _refuse_different_images(results)
    return Comparison(results[0].data, _settings(results), left_out)


def _unfinished(run: RunDirectory) -> LeftOut:
    reasons = {
        Status.failed: run.failure,
        Status.interrupted: lambda: f"it has {run.finished_epochs()} epochs and no summary",
        Status.planned: lambda: "it was planned, and not begun",
    }
    status = run.status
    return LeftOut(run.path, status.value, reasons[status]())


def _one_line(error: Exception) -> str:
    text = f"there is no {error}" if isinstance(error, KeyError) else str(error)
    return " ".join(text.split())


def _refuse_different_images(results: list[Result]) -> None:
    by_data: dict[DataFacts, Path] = {}
    for result in results:
        by_data.setdefault(result.data, result.run.path)
    if len(by_data) > 1:
        found = "; ".join(f"{data} in {path}" for data, path in by_data.items())
        raise UsageError(
            f"errors on different images cannot be compared: {found}. "
            f"Give folders whose runs share their test images"
        )


def _settings(results: list[Result]) -> list[Setting]:
    """The results grouped by all that was set but the seed."""
    differences = _differences(results)
    several_upsamplings = len({result.upsample for result in results} - {None}) > 1
    groups: dict[str, list[tuple[Result, dict[str, str]]]] = defaultdict(list)
    for result, different in zip(results, differences, strict=True):
        key = [_family(result, different, several_upsamplings), result.upsample]
        groups[json.dumps([*key, result.config.latent])].append((result, different))
    settings = [
        Setting(
            _family(group[0][0], group[0][1], several_upsamplings),
            group[0][1],
            sorted((result for result, _ in group), key=lambda result: result.config.seed),
        )
        for group in groups.values()
    ]
    return sorted(settings, key=lambda setting: (natural_key(setting.family), setting.latent))


def _family(result: Result, differences: dict[str, str], several_upsamplings: bool) -> str:
    words = [str(result.config.model.name)]
    if several_upsamplings and result.upsample is not None:
        words.append(result.upsample)
    return ", ".join([*words, *(f"{key}={value}" for key, value in differences.items())])


def _differences(results: list[Result]) -> list[dict[str, str]]:
    """For each result the keys that not all share; a model's own keys count among its own kind."""
    flat = [dict(_flat(plain(result.config))) for result in results]
    values: dict[tuple[str, str], set[str]] = defaultdict(set)
    models = [str(result.config.model.name) for result in results]
    everywhere = {key for config in flat for key in config} - INCIDENTAL - NAMED
    for model, config in zip(models, flat, strict=True):
        for key in everywhere:
            if not key.startswith("model."):
                values["", key].add(config.get(key, "null"))
            elif any(
                key in other for other, name in zip(flat, models, strict=True) if name == model
            ):
                values[model, key].add(config.get(key, "null"))
    different = {where for where, found in values.items() if len(found) > 1}
    short = _shortened({key for _, key in different})
    return [
        {
            short[key]: config.get(key, "null")
            for owner, key in sorted(different)
            if owner in ("", model)
        }
        for model, config in zip(models, flat, strict=True)
    ]


def _flat(node: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of nested dicts and lists, their keys joined by dots."""
    if isinstance(node, dict):
        children = [(str(key), child) for key, child in node.items()]
    elif isinstance(node, list) and any(isinstance(item, dict) for item in node):
        children = [(str(number), child) for number, child in enumerate(node)]
    else:
        yield (
            prefix,
            "null" if node is None else f"{node:g}" if isinstance(node, float) else str(node),
        )
        return
    for key, child in children:
        yield from _flat(child, f"{prefix}.{key}" if prefix else key)


def _shortened(keys: set[str]) -> dict[str, str]:
    """Each key by its last word, where that is no other's; `corruption.name` is `corruption`."""
    last = {key: key.removesuffix(".name").rpartition(".")[2] for key in keys}
    words = list(last.values())
    return {key: word if words.count(word) == 1 else key for key, word in last.items()}
