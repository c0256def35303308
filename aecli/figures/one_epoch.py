"""Losses after a single epoch, of which no curve could be drawn."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aecli.figures import text
from aecli.figures.axes import LABEL, LOSS, MAX_LABEL_WIDTH, MSE, TITLE, WIDTH, label_axes
from aecli.figures.theme import categories

ROW = 0.3  # inches


def bars_of_one_epoch(
    title: str, losses: dict[str, float], errors: dict[str, float], loss: str = LOSS
) -> Figure:
    """Losses on the left and mse on the right, if there are any, each as a bar with its value;
    `loss` is the name of the losses."""
    inches = ROW * max(len(losses), len(errors))
    figure = Figure((WIDTH, 1.2 + inches), dpi=100, layout="constrained")
    figure.suptitle(f"{title}: after 1 epoch", fontsize=TITLE)
    charts = [(losses, loss), *([(errors, MSE)] if errors else [])]
    every_axes = figure.subplots(1, len(charts), squeeze=False)[0]
    for axes, (lengths, quantity) in zip(every_axes, charts, strict=True):
        _draw(axes, lengths, quantity)
    return figure


def _draw(axes: Axes, lengths: dict[str, float], quantity: str) -> None:
    label_axes(axes, quantity, "")
    drawn = axes.barh(range(len(lengths)), list(lengths.values()), 0.7, color=categories(1)[0])
    values = [f"{length:.3g}" for length in lengths.values()]
    axes.bar_label(drawn, values, padding=3, fontsize=LABEL)
    names = [text.wrapped(name, MAX_LABEL_WIDTH / 2, LABEL) for name in lengths]
    axes.set_yticks(range(len(lengths)), names, fontsize=LABEL)
    axes.set_ylim(len(lengths) - 0.5, -0.5)  # the first on top
    axes.margins(x=0.15)  # room for the value of the longest bar
    axes.grid(visible=False, axis="y")
    axes.set_axisbelow(True)
