"""The arguments of all commands that take no training configuration, and how they are parsed.

They are `key=value`, as for `aecli train`; in commands that read runs, a bare path means run=PATH.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast, get_args, get_origin, get_type_hints

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from aecli.config import explain
from aecli.config.limits import MAX_COUNT, check_seed, check_valid, expand_user
from aecli.errors import UsageError
from aecli.errors.text import invalid_choice, shortened, suggest
from aecli.runs.discovery import is_run, is_sweep
from aecli.runs.lookup import find_run

if TYPE_CHECKING:
    from aecli.runs.trained import Trained


REQUIRED = MISSING
"""The default of a key that must be given."""


@dataclass
class RunOptions:
    """The keys shared by all commands that use a finished run."""

    run: list[str] = field(default_factory=list)
    """Folder of a finished run, the beginning of its name, or latest; a bare word is the same."""

    device: str = "auto"
    """Device that runs the model: auto (cuda, then mps, then cpu), cpu, cuda, cuda:1, mps."""

    data_dir: str | None = None
    """Folder that holds the data sets; null: the one used in training."""

    path: str | None = None
    """data=folder: folder that holds the images of the run; null: the one used in training."""

    images: list[str] = field(default_factory=list)
    """Your own images, used instead of the run's test images: a folder, whose subfolders are
    classes, or a file. May be given several times."""

    resize: bool = False
    """Crop and resize images to the size that the run was trained on; false: refuse other sizes."""

    output: str | None = None
    """Folder for the results; null: one of this command's name in the folder of the run."""


def pop_value(arguments: list[str], key: str) -> str | None:
    """Remove every `key=...` from `arguments`; return the last value, or None."""
    value = None
    for argument in [given for given in arguments if given.startswith(f"{key}=")]:
        arguments.remove(argument)
        value = argument.partition("=")[2]
    return value


Options = TypeVar("Options")

PATHS = "run"
"""The field that collects bare paths: a list of strings."""


def parse_options(command: str, schema: type[Options], arguments: Sequence[str]) -> Options:
    """Parse the arguments of `aecli command` into a dataclass; bare paths go to its field `run`.

    Raises:
        UsageError: a flag, an unknown or missing key, or an invalid value.
    """
    config = OmegaConf.structured(schema)
    known, types = fields(schema), get_type_hints(schema)  # type: ignore[arg-type]
    keys = [field.name for field in known]
    lists = [field.name for field in known if get_origin(types[field.name]) is list]
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not argument and PATHS in keys:
            raise UsageError(f"{command} was given a path that is empty: give a folder")
        if argument.startswith("-"):
            path = " or a path" if PATHS in keys else ""
            raise UsageError(f"{command} has no flag {argument}: give key=value{path}")
        if PATHS in keys and key not in keys and Path(argument).exists():
            key, value = PATHS, argument  # whose name contains a =
        elif not equals or not key.isidentifier():
            if PATHS not in keys:
                raise UsageError(
                    f"{command} takes key=value, not {argument!r}: valid keys are {', '.join(keys)}"
                )
            key, value = PATHS, argument
        if key not in keys:
            raise UsageError(f"there is no key {key!r}: {suggest(key, keys)}")
        if types[key] is bool and value not in ("true", "false"):
            raise UsageError(f"{key}={shortened(value)} is not valid: give true or false")
        names = _names(types[key])
        for each in value.split(",") if names else [value]:
            if each and names and each not in names:
                raise UsageError(invalid_choice(key, each, names))
            _assign(config, key, each, is_list=key in lists)
    for key in OmegaConf.missing_keys(config):
        raise UsageError(f"{command} needs {key}=...: aecli {command} --help says what it can be")
    for key in keys:
        if key == "seed" and config.seed is not None:
            check_seed(config.seed)
        elif types[key] in (int, int | None) and config[key] is not None:
            check_valid(abs(config[key]) <= MAX_COUNT, key, config[key], f"at most {MAX_COUNT:,}")
    return cast(Options, OmegaConf.to_object(config))


def _names(kind: object) -> list[str]:
    """The valid names, if several may be typed with commas between them; otherwise none."""
    each = get_args(kind)[0] if get_origin(kind) is list else None
    return [choice.name for choice in each] if isinstance(each, type(Enum)) else []


def _assign(config: DictConfig, key: str, value: str, is_list: bool) -> None:
    """Set `key` to the typed `value`, or append it to a list.

    Raises:
        UsageError: the value is empty, or of the wrong type.
    """
    if not value:
        raise UsageError(f"{key}= has no value: give one, or leave {key}= out")
    if "${" in value:  # OmegaConf would interpolate it
        raise UsageError(f"{key} is not valid: ${{...}} is not resolved here, give the value")
    if value.startswith("~"):
        value = expand_user(key, value)
    try:
        if is_list:
            config[key].append(value)
        else:
            config[key] = None if value == "null" else value
    except OmegaConfBaseException as error:
        raise UsageError(explain(error)) from error


def one_run(command: str, options: RunOptions) -> Path:
    """The path of the one run given to a command.

    Raises:
        UsageError: no run is given, or more than one, or what is given stands for none.
    """
    if len(options.run) > 1:
        raise UsageError(
            f"{command} takes the folder of one finished run, not {len(options.run)}: "
            f"{', '.join(options.run)}"
        )
    (path,) = some_runs(command, options)
    return path


def open_chosen(path: Path, options: RunOptions) -> "Trained":
    """Open the finished run in the folder `path`, with the images selected by `options`.

    Prints notices about how the user's own images were prepared.

    Raises:
        UsageError: `path` is not a run, or the run is not finished.
        DataError, StorageError: images or files cannot be used.
    """
    # Mistakes in the command line are reported without waiting for torch.
    from aecli.cli import console
    from aecli.runs.trained import open_run
    from aecli.runtime.status import show_status

    trained = open_run(
        path,
        options.device,
        options.data_dir,
        options.images,
        options.resize,
        path_of_images=options.path,
        warn=console.warn,
    )
    for notice in trained.notices:
        console.warn(notice)
    show_status("computing ...")
    return trained


def open_all(paths: Sequence[Path], options: RunOptions) -> list["Trained"]:
    """Open several runs, to be compared on the images of the first; else as `open_chosen`."""
    others = replace(options, images=[])
    return [open_chosen(path, others if number else options) for number, path in enumerate(paths)]


def some_runs(command: str, options: RunOptions) -> list[Path]:
    """The paths of the runs given to a command, one or more.

    Raises:
        UsageError: none is given, one is given twice, or what is given stands for none, or for
            several.
    """
    if not options.run:
        raise UsageError(f"{command} takes the folder of one finished run, but none is given")
    paths = [found(text, find_run) for text in options.run]
    for number, path in enumerate(paths):
        if path.resolve() in {each.resolve() for each in paths[:number]}:
            raise UsageError(
                f"{path} is given twice, and comparing a run with itself is meaningless: name each "
                "run once"
            )
    return paths


def found(text: str, find: Callable[[str], Path]) -> Path:
    """The path that `find` returns for what was typed; it is printed unless it is what was typed.

    Raises:
        UsageError: `find` raised it.
    """
    from aecli.cli import console

    path = find(text)
    if path != Path(text):
        kind = "sweep" if is_sweep(path) else "run" if is_run(path) else "folder"
        console.warn(f"{kind}: {path}")
    return path
