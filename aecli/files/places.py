"""Where choices, runs and lectures are looked for, and the word for the newest run."""

from datetime import datetime
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
CONF_DIR = next(
    folder for folder in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if folder.is_dir()
)
"""The folder of the choices: in a wheel inside the package, in a checkout next to it."""
OUTPUTS = "outputs"
"""The folder of runs, unless output_dir says otherwise, in which their names are looked up."""
LATEST = "latest"
"""The word for the newest run, which no run can therefore have as its name."""
DEPTH = 3
"""Folders between OUTPUTS and a run, at most, so that a misspelt name fails fast."""
LECTURE = "lecture"
"""The folder of the lectures, next to those of the choices but not one of them."""


def dated_folder(command: str) -> Path:
    """A new folder below OUTPUTS for the results of a command about several runs."""
    return Path(OUTPUTS, command, f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}")
