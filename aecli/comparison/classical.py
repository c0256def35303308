"""Kernel PCA compared with the networks: the only part of a comparison that needs the runs'
images."""

from collections import defaultdict
from dataclasses import replace
from typing import NoReturn

from aecli.baselines.kernel_pca import kernel_pca_errors
from aecli.comparison.results import Comparison, Result
from aecli.config import CorruptionKind
from aecli.data.loaded import keep_data
from aecli.errors import DataError
from aecli.runs.trained import open_run
from aecli.runtime.progress import Bar


def with_kernel_pca(comparison: Comparison) -> Comparison:
    """A comparison with the test mse of kernel PCA at the latent size of each run.

    It is fitted to the training images of the run. Runs whose inputs are corrupted, or whose codes
    are too large, get none.

    Raises:
        UsageError: scikit-learn is not installed.
        DataError: the images of a run cannot be loaded, have changed, or are not known to be those
            of the run.
        StorageError: a file of a run is damaged.
    """
    by_images: dict[str, list[Result]] = defaultdict(list)
    for result in comparison.results:
        if result.config.corruption.name is CorruptionKind.none:
            by_images[_key(result)].append(result)
    known: dict[tuple[str, int], float] = {}
    sizes = {key: {each.config.latent for each in runs} for key, runs in by_images.items()}
    with keep_data(), Bar("kernel PCA", sum(map(len, sizes.values())), "sizes") as bar:
        for key, runs in by_images.items():
            data = open_run(runs[0].run.path, device="cpu", warn=_refuse).data()
            for size, mse in kernel_pca_errors(data.train.images, data.test.images, sizes[key]):
                known[key, size] = mse
                bar.done += 1
    settings = [
        replace(
            setting,
            results=[
                replace(each, kernel_pca_mse=known.get((_key(each), each.config.latent)))
                for each in setting.results
            ],
        )
        for setting in comparison.settings
    ]
    return replace(comparison, settings=settings)


def _refuse(warning: str) -> NoReturn:
    """Raise the warning as an error: errors on other images cannot be compared with the run's."""
    raise DataError(f"{warning}: leave kernel_pca out")


def _key(result: Result) -> str:
    """A key that is equal for runs that were trained on the same images."""
    return result.training_images or str(result.run.path)
