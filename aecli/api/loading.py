"""Open a trained autoencoder: a run, or what `Model.save_pretrained` has written."""

import os
from pathlib import Path

from aecli.api.model import Model
from aecli.api.pretrained import is_pretrained, load_pretrained
from aecli.config.limits import expand_user
from aecli.runs.lookup import find_run
from aecli.runs.trained import open_run


def load(path: str | os.PathLike[str], device: str = "auto", data_dir: str | None = None) -> Model:
    """Open a finished run, or a folder that `Model.save_pretrained` has written.

    Nothing in the folder is executed.

    Args:
        path: the folder; for a run also the beginning of its name, or `latest`, as on the command
            line.
        device: where the network computes: auto (cuda, then mps, then cpu), cpu, cuda, cuda:1, mps.
        data_dir: the folder with the data sets, for `Model.data`; None for the one used in
            training.

    Raises:
        AecliError: there is no such model, the run is not finished, or a file is damaged.
    """
    text = expand_user("path", os.fspath(path))
    if is_pretrained(Path(text)):
        return load_pretrained(Path(text), device, data_dir)
    trained = open_run(find_run(text), device, data_dir)
    summary = trained.run.load_summary()
    return Model(trained.run.path, trained.config, summary, trained.model, trained.data)
