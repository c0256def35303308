"""What can be watched while a run goes on: TensorBoard, metrics.jsonl and the progress bar."""

import json
import threading
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from tensorboard.compat.proto.attr_value_pb2 import AttrValue
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef
from torch.utils.tensorboard.summary import hparams
from tqdm import tqdm

from aecli.evaluation.metrics import psnr
from aecli.files import write_atomically
from aecli.models import Layer
from aecli.runs.directory import RunDirectory
from aecli.runs.tensorboard import EventsFile

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# tqdm's own lock is one between processes, which none of ours share; the system would keep it when
# a worker of a sweep is killed, and complain.
tqdm.set_lock(threading.RLock())

# Charts that show several curves: TensorBoard's "Custom scalars" page.
LAYOUT = {
    "training": {
        "loss": ["Multiline", ["loss/train", "loss/validation"]],
        "mse, pixels in [0, 1]": ["Multiline", ["mse/validation", "mse/pca"]],
        "checkerboard score": ["Multiline", ["checkerboard/validation", "checkerboard/originals"]],
    }
}

# The same with a curve of each run, for a folder that holds several.
STUDY_LAYOUT = {
    "all runs": {
        "training loss": ["Multiline", ["loss/train"]],
        "validation loss": ["Multiline", ["loss/validation"]],
        "validation mse, pixels in [0, 1]": ["Multiline", ["mse/validation"]],
        "mse of PCA at the same latent size": ["Multiline", ["mse/pca"]],
        "checkerboard score": ["Multiline", ["checkerboard/validation"]],
    }
}


@dataclass(frozen=True)
class Validation:
    """What the validation images tell of a model."""

    loss: float
    """In the units that the model is trained in."""
    mse: float
    """In pixels in [0, 1]."""
    checkerboard: float | None
    """From 0 to 1; None where the images are too small for it."""


@dataclass(frozen=True)
class EpochRecord:
    """One line of metrics.jsonl. What was not measured in an epoch is None."""

    epoch: int
    train_loss: float
    """Mean over the epoch, in the units that the model is trained in."""
    val_loss: float | None
    val_mse: float | None
    val_psnr: float | None
    val_checkerboard: float | None
    lr: float
    """At the end of the epoch."""
    images_per_second: float
    """Of training; validation is left out."""
    seconds: float
    """Of training; validation is left out."""

    @classmethod
    def from_epoch(
        cls,
        epoch: int,
        train_loss: float,
        validation: Validation | None,
        lr: float,
        seconds: float,
        images: int,
    ) -> Self:
        """From what was measured; `images` were seen in `seconds`."""
        val_mse = validation.mse if validation else None
        return cls(
            epoch=epoch,
            train_loss=train_loss,
            val_loss=validation.loss if validation else None,
            val_mse=val_mse,
            val_psnr=psnr(val_mse) if val_mse else None,  # JSON has no infinity
            val_checkerboard=validation.checkerboard if validation else None,
            lr=lr,
            images_per_second=images / seconds,
            seconds=seconds,
        )


@dataclass(frozen=True)
class Resumed:
    """Where a run goes on."""

    records: list[EpochRecord]
    """Of the epochs whose record stays as it is."""
    steps: int
    """Of the optimiser that lie behind it."""


def _line(record: EpochRecord) -> str:
    """What metrics.jsonl holds of an epoch."""
    return json.dumps(asdict(record)) + "\n"


class Tracker:
    """Records a run as it goes on; a context manager, so that everything is on disk at the end."""

    def __init__(
        self,
        run: RunDirectory,
        epochs: int,
        steps_per_epoch: int,
        bar: str | None = None,
        resumed: Resumed | None = None,
    ) -> None:
        """
        Args:
            run: where files go.
            epochs: in all.
            steps_per_epoch: batches in each.
            bar: what the progress bar calls the run; None where no bar is wanted.
            resumed: where the run goes on, if it has begun. Of what has been recorded, the epochs
                that it names stay, and all that is later is taken back.
        """
        lines = [_line(record) for record in resumed.records] if resumed else []
        write_atomically(run.metrics_file, "".join(lines).encode())
        with ExitStack() as files:
            self._metrics = files.enter_context(open(run.metrics_file, "a", encoding="utf-8"))
            self._events = files.enter_context(
                EventsFile(run.path, len(lines) + 1 if resumed else None)
            )
            if resumed is None:
                self._events.layout(LAYOUT)
            self._files = files.pop_all()
        self._bar = tqdm(
            total=epochs * steps_per_epoch,
            initial=resumed.steps if resumed else 0,
            unit="step",
            # None: no bar where nobody looks, such as in a log file.
            disable=None if bar is not None else True,
            dynamic_ncols=True,
        )
        self._name, self._epochs = bar, epochs
        self._describe_bar(epoch=len(lines) + 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()
        self._files.close()

    def step(self) -> None:
        """One optimiser step is done."""
        self._bar.update()

    def epoch(self, record: EpochRecord, levels: dict[str, float | None]) -> None:
        """One epoch is done; `levels`: tag -> what stays the same, for a line beside a curve."""
        self._metrics.write(_line(record))
        self._metrics.flush()
        scalars = {
            "loss/train": record.train_loss,
            "loss/validation": record.val_loss,
            "mse/validation": record.val_mse,
            "psnr/validation": record.val_psnr,
            "learning_rate": record.lr,
            "checkerboard/validation": record.val_checkerboard,
            **levels,
            "speed/images_per_second": record.images_per_second,
            "speed/epochs_per_second": 1 / record.seconds,
        }
        for tag, value in scalars.items():
            if value is not None:
                self._events.scalar(tag, value, record.epoch)
        self._events.flush()
        self._describe_bar(min(record.epoch + 1, self._epochs))
        losses = {"train": record.train_loss, "val": record.val_loss}
        self._bar.set_postfix({k: f"{v:.5f}" for k, v in losses.items() if v is not None})

    def _describe_bar(self, epoch: int) -> None:
        self._bar.set_description(f"{self._name}, epoch {epoch}/{self._epochs}")

    def figure(self, tag: str, figure: "Figure", epoch: int) -> None:
        from aecli.figures import to_array  # training starts without waiting for matplotlib

        self._events.image(tag, to_array(figure), epoch)

    def graph(self, layers: list[Layer]) -> None:
        """The model as TensorBoard's graph: a chain of layers inside encoder and decoder.

        Written from the model's description: torch's own `add_graph` goes through the deprecated
        tracer and shows its bookkeeping instead of the layers.
        """
        graph = GraphDef(node=[NodeDef(name="image", op="Placeholder")])
        for number, layer in enumerate(layers, start=1):
            kind, _, details = layer.operation.partition(" ")
            attributes = {
                "details": AttrValue(s=details.encode()),
                "output_shape": AttrValue(s="x".join(map(str, layer.output_shape)).encode()),
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
        """One row of the hparams table, and the final figures as scalars after `epoch`.

        torch's own `add_hparams` would open a second run for them.
        """
        for summary in hparams(hyperparameters, metrics):
            self._events.summary(summary)
        for tag, value in metrics.items():
            self._events.scalar(tag, value, epoch)
