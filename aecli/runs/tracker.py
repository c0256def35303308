"""Live output of a run: TensorBoard, metrics.jsonl, the terminal and an external tracker."""

import json
from collections.abc import Iterable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from tensorboard.compat.proto.attr_value_pb2 import AttrValue
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef
from torch.utils.tensorboard.summary import hparams

from aecli.config import RegularizerKind, TrainConfig
from aecli.errors.text import shape_text
from aecli.files.storage import write_atomically
from aecli.models import Layer
from aecli.runs.directory import EVENTS, METRICS, RunDirectory
from aecli.runs.display import Display, Progress, Standing
from aecli.runs.external import ExternalTracker
from aecli.runs.owned import OwnedFiles
from aecli.runs.records import EpochRecord
from aecli.runs.tensorboard import EventsFile

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Layout = dict[str, dict[str, list[Any]]]
"""Page -> chart -> its kind and its tags."""

# Charts with several curves, on TensorBoard's "Custom scalars" page.
LAYOUT: Layout = {
    "training": {
        "loss": ["Multiline", ["loss/train", "loss/validation"]],
        "loss without penalty": [
            "Multiline",
            ["loss/train_reconstruction", "loss/validation_reconstruction"],
        ],
        "penalty of an image": ["Multiline", ["penalty/train", "penalty/validation"]],
        "mse, pixels in [0, 1]": ["Multiline", ["mse/validation", "mse/pca"]],
        "checkerboard score": [
            "Multiline",
            ["upsampling/checkerboard", "upsampling/checkerboard_of_originals"],
        ],
    }
}

# The same with one curve per run, for a folder with several runs.
STUDY_LAYOUT: Layout = {
    "all runs": {
        "training loss": ["Multiline", ["loss/train"]],
        "validation loss": ["Multiline", ["loss/validation"]],
        "validation loss without penalty": ["Multiline", ["loss/validation_reconstruction"]],
        "validation penalty of an image": ["Multiline", ["penalty/validation"]],
        "validation mse, pixels in [0, 1]": ["Multiline", ["mse/validation"]],
        "mse of PCA at the same latent size": ["Multiline", ["mse/pca"]],
        "checkerboard score": ["Multiline", ["upsampling/checkerboard"]],
    }
}


def drawable(layout: Layout, configs: Iterable[TrainConfig]) -> Layout:
    """The charts that have curves of these runs: without validation images, only those of the
    training; without regulariser, none of its penalty."""
    drawn: set[str] = set()
    for config in configs:
        drawn |= {"train"} | ({"validation"} if config.data.has_validation else set())
        if config.regularizer.name is not RegularizerKind.none:
            drawn |= {f"{split} penalty" for split in [*drawn]}
    return {
        page: {name: chart for name, chart in charts.items() if _needed(chart[1][0]) in drawn}
        for page, charts in layout.items()
    }


def _needed(tag: str) -> str:
    """The kind of run that a curve needs, as in `drawable`."""
    split = "train" if "train" in tag else "validation"
    return f"{split} penalty" if "penalty" in tag or "reconstruction" in tag else split


@dataclass(frozen=True)
class Resumed:
    """The point from which a run resumes."""

    records: list[EpochRecord]
    """Records of the epochs to keep."""
    steps: int
    """Optimiser steps already taken."""


def _json_line(record: EpochRecord) -> str:
    """The line of an epoch in metrics.jsonl."""
    return json.dumps(asdict(record)) + "\n"


class Tracker:
    """Logs a run while it trains; a context manager that closes its files."""

    def __init__(
        self,
        run: RunDirectory,
        epochs: int,
        steps_per_epoch: int,
        display: Display | None = None,
        resumed: Resumed | None = None,
        layout: Layout = LAYOUT,
        external: ExternalTracker | None = None,
    ) -> None:
        """
        Args:
            run: the run directory to write to.
            epochs: total number of epochs.
            steps_per_epoch: batches per epoch.
            display: what the terminal shows; None for nothing.
            resumed: the point to resume from, if any. Its epochs stay recorded; everything after
                them is discarded.
            layout: TensorBoard's charts with several curves.
            external: a tracker to log to as well, which the caller closes.
        """
        self._run, self._external = run, external
        lines = [_json_line(record) for record in resumed.records] if resumed else []
        metrics_file = run.working_file(METRICS)
        write_atomically(metrics_file, "".join(lines).encode())
        has_events = any(run.path.glob(EVENTS))  # of this run, resumed or trained again
        with ExitStack() as files:
            self._metrics = files.enter_context(open(metrics_file, "a", encoding="utf-8"))
            self._events = files.enter_context(
                EventsFile(
                    run.path,
                    len(lines) + 1 if has_events else None,
                    claim=OwnedFiles(run.path).claim,
                )
            )
            if resumed is None:
                self._events.layout(layout)
            steps, steps_done = epochs * steps_per_epoch, resumed.steps if resumed else 0
            self._progress = files.enter_context(
                Progress(display, epochs, steps, steps_done // steps_per_epoch, steps_done)
            )
            self._files = files.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def step(self) -> None:
        """Advance the progress bar by one optimiser step."""
        self._progress.bar.advance()

    def epoch(self, record: EpochRecord, references: dict[str, float | None]) -> None:
        """Log an epoch; `references`: tag -> a constant, shown as a line with a curve."""
        self._run.check_lock()
        self._metrics.write(_json_line(record))
        self._metrics.flush()
        scalars = {
            "loss/train": record.train_loss,
            "loss/validation": record.val_loss,
            "loss/train_reconstruction": record.train_reconstruction,
            "loss/validation_reconstruction": record.val_reconstruction,
            "penalty/train": record.train_penalty,
            "penalty/validation": record.val_penalty,
            "mse/validation": record.val_mse,
            "psnr/validation": record.val_psnr,
            "training/learning_rate": record.lr,
            "upsampling/checkerboard": record.val_checkerboard,
            **references,
            "units/live": record.live_units,
            "units/active": record.active_units,
            "units/constant_pixels": record.constant_pixels,
            "training/images_per_second": record.images_per_second,
            "training/epochs_per_second": 1 / record.seconds,
        }
        measured = {tag: value for tag, value in scalars.items() if value is not None}
        for tag, value in measured.items():
            self._events.scalar(tag, value, record.epoch)
        self._events.flush()
        if self._external is not None:
            self._external.metrics(measured, record.epoch)
        self._progress.losses(record)

    def line(self, record: EpochRecord, standing: Standing) -> None:
        """Print the line of an epoch, if the run is shown in lines."""
        self._progress.line(record, standing)

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Show a phase after the training, such as testing, while it lasts."""
        return self._progress.phase(name)

    def sync(self) -> None:
        """Write the curves to disk, for a checkpoint from which they will continue."""
        self._run.check_lock()
        self._events.sync()

    def figure(self, tag: str, figure: "Figure", epoch: int) -> None:
        from aecli.figures import to_array  # imported late: matplotlib would delay training

        pixels = to_array(figure)
        self._run.check_lock()
        self._events.image(tag, pixels, epoch)
        self._events.flush()
        if self._external is not None:
            self._external.image(tag, pixels, epoch)

    def graph(self, layers: list[Layer]) -> None:
        """Log the model as TensorBoard's graph: a chain of layers inside encoder and decoder.

        It is built from the model's description: torch's own `add_graph` uses the deprecated tracer
        and shows its bookkeeping instead of the layers.
        """
        graph = GraphDef(node=[NodeDef(name="image", op="Placeholder")])
        for number, layer in enumerate(layers, start=1):
            kind, _, details = layer.operation.partition(" ")
            attributes = {
                "details": AttrValue(s=details.encode()),
                "output_shape": AttrValue(s=shape_text(layer.output_shape).encode()),
                "parameters": AttrValue(i=layer.parameters),
            }
            graph.node.append(
                NodeDef(
                    name=f"{layer.part}/{number:02d}_{kind}",
                    op=kind,
                    input=[graph.node[-1].name],
                    attr=attributes,
                )
            )
        graph.node.append(NodeDef(name="output", op="Identity", input=[graph.node[-1].name]))
        self._events.add(Event(graph_def=graph.SerializeToString()))
        self._events.flush()

    def results(
        self, hyperparameters: dict[str, Any], metrics: dict[str, float], epoch: int
    ) -> None:
        """Log a row of the hparams table, and the final metrics as scalars at `epoch`.

        torch's own `add_hparams` would create a second run for them. It would also describe the
        columns, from this run alone: without that, TensorBoard compares all runs and shows the
        columns first in which they differ.
        """
        self._run.check_lock()
        _, started, ended = hparams(hyperparameters, metrics)
        for summary in (started, ended):
            self._events.summary(summary)
        for tag, value in metrics.items():
            self._events.scalar(tag, value, epoch)
        if self._external is not None:
            self._external.metrics(metrics, epoch)
