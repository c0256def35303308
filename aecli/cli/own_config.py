"""The user's own configuration files, next to those of the package: Hydra's `--config-dir DIR`."""

from pathlib import Path

from aecli.cli.overrides import search_path
from aecli.config import config_groups
from aecli.config.limits import expand_user
from aecli.errors import UsageError
from aecli.errors.text import listed
from aecli.files.places import LECTURE

FLAG = "--config-dir"


def pop_config_dir(arguments: list[str]) -> list[str]:
    """Remove `--config-dir DIR` from `arguments`; return it as an override, if it is there.

    Raises:
        UsageError: it is not a folder with choices, or one of them is there already.
    """
    overrides: list[str] = []
    while given := [each for each in arguments if each.partition("=")[0] == FLAG]:
        position = arguments.index(given[0])
        _, equals, name = arguments.pop(position).partition("=")
        if not equals and position < len(arguments):
            name = arguments.pop(position)
        if overrides:
            raise UsageError(f"{FLAG} is given twice: put the choices into one folder")
        folder = Path(expand_user(FLAG, name)) if name else Path()
        if not name or not folder.is_dir() or "${" in str(folder.absolute()):
            raise UsageError(
                f"{FLAG} {name or '...'} is not a folder that can be used: give one with folders "
                f"of choices in it, as in {FLAG} mine with mine/model/wide.yaml"
            )
        _check_choices(folder)
        overrides.append(search_path(folder))
    return overrides


def _check_choices(folder: Path) -> None:
    """Check that a folder adds choices to the groups, and replaces none."""
    own, groups = config_groups(folder), config_groups()
    unknown = sorted(own.keys() - groups.keys())
    unknown += [name for name in ("hydra", LECTURE) if (folder / name).exists()]
    if unknown:
        raise UsageError(
            f"{folder} holds {listed(unknown)}, which is not a group of choices: its "
            f"folders may be {', '.join(groups)}"
        )
    if not any(own.values()):
        raise UsageError(
            f"{folder} holds no choices: give a folder with files such as model/wide.yaml in it"
        )
    for group, choices in own.items():
        for choice in choices:
            if choice in groups[group]:
                raise UsageError(
                    f"{folder / group / choice}.yaml has the name of a choice that exists, "
                    f"{group}={choice}: give it another"
                )
