"""Map the codes, and load them into TensorBoard's projector.

usage: aecli embed RUN [key=value ...]

Maps the codes of the test images to points in a plane, and writes them with thumbnails and classes
for TensorBoard's projector. Measures how often the nearest training images predict the class of a
test image, with distances between codes, between as many principal components, and between pixels.
Measures whether neighbours stay neighbours, for the codes and for as many principal components:
trustworthiness is 1 if the nearest test images by code are among the nearest by pixels, continuity
is 1 if the nearest by pixels are among the nearest by code, and both are about 0.5 by chance.
With latent=2, it also shows the images decoded from a plane of codes.

examples:
  aecli embed outputs/conv-z25/2026-11-21_10-15-00-123456
  aecli embed outputs/conv-z25/2026-11-21_10-15-00-123456 map=tsne n=2000
  aecli embed outputs/conv-z25/2026-11-21_10-15-00-123456 map=umap k=5
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from rich.table import Table

from aecli.cli import console
from aecli.cli.options import RunOptions, one_run, open_chosen, parse_options

if TYPE_CHECKING:
    from aecli.analysis.embed import Encoded, Map, Neighbourhoods
    from aecli.runs.results import Results
    from aecli.runs.trained import Trained

DIGITS = 5  # of the saved coordinates: more than a figure can show
MANY = 2000  # codes: with more, t-SNE and UMAP take more than a few seconds


class MapKind(Enum):
    """Projections of the codes to a plane."""

    pca = "pca"
    tsne = "tsne"
    umap = "umap"


SLOW = {MapKind.tsne: "t-SNE", MapKind.umap: "UMAP"}


@dataclass
class Options(RunOptions):
    """How to map the codes, and how many neighbours vote."""

    map: MapKind | None = None
    """pca: the first two principal components; tsne (pip install 'aecli[uses]') or umap
    ('aecli[umap]'): projections that keep neighbours together. null: the codes themselves if
    latent=2, otherwise pca."""

    n: int = 10_000
    """Images on the map and in the projector, drawn at random if there are more."""

    k: int = 10
    """Nearest training images that vote on the class of a test image, and nearest test images
    among which trustworthiness and continuity look."""

    seed: int = 0
    """Seed of umap, and of the images that are drawn."""


def main(arguments: list[str]) -> None:
    """Map the codes of a run, and measure how well nearest neighbours predict the classes.

    Raises:
        UsageError: the run is not finished, or an option is not valid.
        DataError, StorageError: the run's images or files cannot be used.
    """
    options = parse_options("embed", Options, arguments)
    path = one_run("embed", options)

    from aecli.analysis import embed
    from aecli.analysis.probe import feature_names
    from aecli.runs.results import Results

    trained = open_chosen(path, options)
    with Results.for_run(trained.run, "embed", options.output) as results:
        data, latent = trained.data(), trained.config.latent
        embed.check_counts(options.n, options.k, data)
        encoded = embed.encode(trained, data, options.n, options.seed)
        codes = encoded.shown_codes
        _warn_if_slow(options.map, len(codes))
        kind = options.map.value if options.map else None
        code_map = embed.map_codes(codes, encoded.train_codes, kind, options.seed)
        accuracies = embed.neighbour_accuracies(trained, encoded, options.k)
        neighbourhoods = embed.neighbourhoods(trained, encoded, options.k, options.seed)
        units = {"live": embed.live_units(encoded), "active": embed.active_units(trained, encoded)}
        columns = embed.image_columns(trained, encoded)
        settings = {"k": options.k, "latent": latent, "n": len(codes), "seed": options.seed}
        for name, figure in embed.figures(trained, encoded, code_map).items():
            results.figure(name, figure)
        _save_projector(results, trained, encoded, columns)
        results.numbers(
            {
                **_scores("accuracy", accuracies),
                **_neighbourhood_numbers(neighbourhoods),
                **{f"{kind}_units": count for kind, count in units.items() if count is not None},
                **settings,
                **_points(code_map),
                **columns,
            }
        )
    rows = _rows(accuracies, neighbourhoods, units, settings)
    console.table(_table(trained, feature_names(latent), rows))
    for caveat in [*embed.plane_caveats(trained), *_caveats(encoded)]:
        console.warn(caveat)
    console.facts({"map": code_map.name, "results": str(results.folder)})


def _save_projector(
    results: Results, trained: Trained, encoded: Encoded, columns: dict[str, list[str]]
) -> None:
    """Save what TensorBoard's projector shows."""
    from aecli.analysis import embed
    from aecli.runs.projector import CONFIG, projector_files

    files = projector_files(
        embed.projected_points(trained, encoded),
        embed.thumbnails(encoded),
        columns,
        results.path_in_tensorboard,
    )
    results.file_for_tensorboard(CONFIG, files.pop(CONFIG))
    for file, content in files.items():
        results.file(file, content)


def _warn_if_slow(kind: MapKind | None, count: int) -> None:
    """Print a warning before a map that takes more than a few seconds."""
    if kind in SLOW and count > MANY:
        console.warn(f"{SLOW[kind]} of {count:,} codes takes a while: n={MANY} would be faster")


def _scores(measure: str, values: dict[str, float]) -> dict[str, float]:
    return {f"{measure}_{name}": value for name, value in values.items()}


def _neighbourhood_numbers(found: Neighbourhoods | None) -> dict[str, Any]:
    if found is None:
        return {}
    return {
        **_scores("trustworthiness", found.trustworthiness),
        **_scores("continuity", found.continuity),
        "ranked_images": found.images,
        "ranked_k": found.k,
    }


def _points(code_map: Map) -> dict[str, Any]:
    """The map, with the coordinates of its points in two columns."""
    x, y = (
        [float(f"{each:.{DIGITS}g}") for each in column] for column in code_map.points.T.tolist()
    )
    return {"map": code_map.kind, "variance": code_map.variance, "x": x, "y": y}


def _caveats(encoded: Encoded) -> list[str]:
    """Why there are no accuracies, if there are none."""
    reason = encoded.unlabelled
    return [f"no nearest-neighbour accuracy: {reason}"] if reason else []


def _rows(
    accuracies: dict[str, float],
    neighbourhoods: Neighbourhoods | None,
    units: dict[str, int | None],
    settings: dict[str, int],
) -> dict[str, dict[str, str]]:
    """What was measured -> its values as text, by features."""
    rows = {f"accuracy of a vote of {settings['k']:,}": accuracies} if accuracies else {}
    if neighbourhoods is not None:
        among = f"{neighbourhoods.k:,} of {neighbourhoods.images:,}"
        rows[f"trustworthiness, {among}"] = neighbourhoods.trustworthiness
        rows[f"continuity, {among}"] = neighbourhoods.continuity
    text = {name: {key: f"{each:.4f}" for key, each in row.items()} for name, row in rows.items()}
    for kind, count in units.items():
        if count is not None:
            text[f"{kind} units"] = {"codes": f"{count:,} of {settings['latent']:,}"}
    return text


def _table(trained: Trained, features: dict[str, str], rows: dict[str, dict[str, str]]) -> Table:
    """A row for each measure and a column for each feature space that has one."""
    table = console.new_table(f"{trained.config.name}: neighbours of the {trained.images_name}")
    shown = [key for key in features if any(key in row for row in rows.values())]
    table.add_column("nearest neighbours")
    for key in shown:
        table.add_column(features[key], justify="right")
    for name, row in rows.items():
        table.add_row(name, *(row.get(key, "") for key in shown))
    return table
