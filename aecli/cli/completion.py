"""Completion of command lines in a shell, from sources and folder names alone.

It answers while a person waits for the tab key, so it imports neither torch nor Hydra nor
OmegaConf.
"""

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

import aecli
from aecli.cli.lookup import COMPOSED, LIST, REMOVE, command_names
from aecli.cli.main import FLAGS
from aecli.files.places import CONF_DIR, DEPTH, LATEST, LECTURE, OUTPUTS

PACKAGE = Path(aecli.__path__[0])
OWN_KEYS: dict[str, dict[str, list[str]]] = {
    "train": {
        **dict.fromkeys(("compare", "restart", "finish"), ["true", "false"]),
        "log": ["bar", "lines"],
        "resume": [],
    },
    "data": {"output": [], "pca": []},
    "shapes": {"figure": ["true", "false"], "output": []},
}
"""The values of a command's own keys, for commands that also take the keys of a configuration."""
COMMAND_FLAGS = {
    "train": ["-m", *(f"--{flag}" for flag in FLAGS)],
    "data": ["--config-dir"],
    "shapes": ["--config-dir"],
}
PATH_KEYS = {"run", "resume", "path", "images", "output", "output_dir", "data_dir"}

Schema = dict[str, str]
"""Field -> its annotation, as it is written."""

SCRIPTS = {
    "bash": """\
_aecli() {
    local IFS=$'\\n' word="${COMP_LINE:0:COMP_POINT}" each
    COMPREPLY=($("${COMP_WORDS[0]}" completion words "$word" 2>/dev/null))
    word="${word##* }"
    # Bash breaks words at "=", and replaces only what follows.
    if [[ "$word" == *=* && "$COMP_WORDBREAKS" == *=* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${word%=*}="}")
    fi
    for each in "${!COMPREPLY[@]}"; do
        [[ "${COMPREPLY[each]}" == *[=/] ]] || COMPREPLY[each]+=" "
    done
}
complete -o nospace -F _aecli aecli
""",
    "zsh": """\
#compdef aecli
_aecli() {
    local -a open done
    local each
    for each in ${(f)"$(${words[1]} completion words "${(j: :)words[1,CURRENT]}" 2>/dev/null)"}; do
        [[ $each == *[=/] ]] && open+=$each || done+=$each
    done
    compadd -Q -S '' -- $open
    compadd -Q -- $done
}
compdef _aecli aecli
""",
    "fish": """\
complete -c aecli -f -a '(aecli completion words (commandline -cp | string collect))'
""",
}
"""The script that each shell sources; all call `aecli completion words LINE`."""


def candidates(line: str) -> list[str]:
    """The words that may stand in place of the last one of `line`, which ends at the cursor."""
    *before, word = re.split(r"\s+", line.lstrip())
    if len(before) <= 1:
        return _matching(word, [*command_names(), "help"])
    command = before[1]
    if command == "help":
        return _matching(word, command_names())
    if command == "completion":
        return _matching(word, SCRIPTS)
    if command not in command_names():
        return []
    if word.startswith("-"):
        return _matching(word, COMMAND_FLAGS.get(command, []))
    key, equals, value = word.partition("=")
    values = _values(command)
    if not equals:
        keys = [f"{name}=" for name in values]
        words = _bare_words(command)
        verbs = words if len(before) == 2 else []
        return _matching(word, [*keys, *verbs, *(_runs(word) if "run" in values else [])])
    if key in PATH_KEYS:
        runs = _runs(value) if key in ("run", "resume") else []
        return [f"{key}={each}" for each in dict.fromkeys([*runs, *_folders(value)])]
    first, _, last = value.rpartition(",")  # several values, as in model=fc,conv
    start = f"{key}={first}," if first else f"{key}="
    return [start + each for each in _matching(last, values.get(key, []))]


def _bare_words(command: str) -> list[str]:
    """What may follow a command without a key, besides runs."""
    if command == "lecture":
        return [LIST, *sorted(file.stem for file in (CONF_DIR / LECTURE).glob("*.yaml"))]
    return {"runs": [REMOVE], "data": _groups()["data"]}.get(command, [])


def _matching(word: str, names: object) -> list[str]:
    return [name for name in names if name.startswith(word)]  # type: ignore[attr-defined]


def _values(command: str) -> dict[str, list[str]]:
    """Key of a command -> its values, if they are names."""
    if command not in COMPOSED:
        schemas = _schemas("cli/options.py") | _schemas(f"commands/{command}.py")
        kinds = schemas.get("Options", {})
        enums = _known_enums(f"commands/{command}.py", {*map(_first_word, kinds.values())})
        keys = {key: _names(kind, enums) for key, kind in kinds.items()}
        if command in ("denoise", "upsample"):
            keys["data"] = [name for name in _groups()["data"] if name not in ("auto", "folder")]
        if command == "runs":
            groups = _groups()
            keys |= {"data": groups["data"], "model": groups["model"]}
            keys["status"] = _enums("runs/listing.py")["State"]
        return keys
    groups = _groups()
    schemas = {
        name: fields
        for file in ("augment", "model", "objective", "optimization", "schema")
        for name, fields in _schemas(f"config/{file}.py").items()
    }
    enums = _enums("config/choices.py")
    keys = {}
    for key, kind in schemas["TrainConfig"].items():
        parts = ["FCConfig", "ConvConfig"] if key == "model" else [kind]
        inner = [item for part in parts for item in schemas.get(part, {}).items()]
        if not inner:
            keys[key] = _names(kind, enums)
        for name, inner_kind in inner:
            if name not in ("name", "kind", "latent"):
                keys[f"{key}.{name}"] = _names(inner_kind, enums)
    return groups | keys | OWN_KEYS.get(command, {}) | _short_keys(keys)


def _groups() -> dict[str, list[str]]:
    """The groups below conf/, with their choices."""
    return {
        folder.name: sorted(file.stem for file in folder.glob("*.yaml"))
        for folder in sorted(CONF_DIR.iterdir())
        if folder.is_dir() and folder.name not in ("hydra", LECTURE)
    }


def _names(kind: str, enums: dict[str, list[str]]) -> list[str]:
    if kind.startswith("bool"):
        return ["true", "false"]
    return enums.get(_first_word(kind), [])


def _first_word(kind: str) -> str:
    """As in `View`, of `View | None` and of `list[View]`."""
    return kind.removeprefix("list[").removesuffix("]").partition(" ")[0]


def _short_keys(keys: dict[str, list[str]]) -> dict[str, list[str]]:
    """The keys of `SHORT_KEYS` in config/schema.py, with the values of those they stand for."""
    found = {
        ast.unparse(node.targets[0]): node.value
        for node in _tree("config/schema.py").body
        if isinstance(node, ast.Assign)
    }
    folder = {key: f"data.{key}" for key in ast.literal_eval(found["FOLDER_KEYS"])}
    short = folder | ast.literal_eval(found["SHORT_NAMES"])
    return {key: keys.get(full, []) for key, full in short.items()}


def _tree(file: str) -> ast.Module:
    return ast.parse((PACKAGE / file).read_text(encoding="utf-8"))


def _schemas(file: str) -> dict[str, Schema]:
    """The classes of a module with annotated fields; `RunOptions` is a base of `Options`."""
    found: dict[str, Schema] = {}
    for node in _tree(file).body:
        if isinstance(node, ast.ClassDef):
            bases = [ast.unparse(base) for base in node.bases]
            inherited = _schemas("cli/options.py")["RunOptions"] if "RunOptions" in bases else {}
            own = {
                ast.unparse(item.target): ast.unparse(item.annotation)
                for item in node.body
                if isinstance(item, ast.AnnAssign)
            }
            found[node.name] = inherited | own
    return found


def _known_enums(file: str, names: set[str]) -> dict[str, list[str]]:
    """The enumerations of a module, and those of `names` that it imports."""
    found = _enums(file)
    for node in _tree(file).body:
        if isinstance(node, ast.ImportFrom) and {each.name for each in node.names} & names:
            source = f"{(node.module or '').replace('.', '/')}.py".removeprefix("aecli/")
            found |= _enums(source) if (PACKAGE / source).is_file() else {}
    return found


def _enums(file: str) -> dict[str, list[str]]:
    """The enumerations of a module, with their names."""
    return {
        node.name: [
            ast.unparse(item.targets[0]) for item in node.body if isinstance(item, ast.Assign)
        ]
        for node in _tree(file).body
        if isinstance(node, ast.ClassDef) and ["Enum"] == [ast.unparse(b) for b in node.bases]
    }


def _runs(word: str) -> list[str]:
    """The runs and sweeps below outputs that `word` may begin, the newest first: their paths, or
    the beginnings of their names; and what stands for the newest."""
    found = {
        file.parent
        for name in ("config.yaml", "multirun.yaml", "sweep.json", "optimization_results.yaml")
        for depth in range(1, DEPTH + 1)
        for file in Path(OUTPUTS).glob("/".join(["[!.]*"] * depth + [name]))
    }
    newest_first = sorted(sorted(found), key=os.path.getmtime, reverse=True)
    names = [str(path) for path in newest_first]
    if word:  # the names of all runs would hide the paths
        names += [str(path.relative_to(OUTPUTS)) for path in newest_first]
        names += [path.name for path in newest_first]
    return _matching(word, [LATEST] * bool(found) + [*dict.fromkeys(names)])


def _folders(word: str) -> Iterator[str]:
    """The folders whose path begins with `word`, with a slash at their end."""
    parent, _, start = word.rpartition("/")
    shown = f"{parent}/" if parent or word.startswith("/") else ""
    folder = Path(os.path.expanduser(shown or "."))
    if folder.is_dir():
        for each in sorted(folder.iterdir()):
            if each.is_dir() and each.name.startswith(start):
                yield f"{shown}{each.name}/"
