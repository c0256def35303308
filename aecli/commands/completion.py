"""Print a script that completes command lines in bash, zsh or fish.

usage: aecli completion bash|zsh|fish

The script completes commands, keys, choices such as those of model=, and the folders of runs below
outputs. To have it in every new shell, add the first line below to ~/.bashrc, the second to
~/.zshrc after compinit, or run the third once.

examples:
  source <(aecli completion bash)
  source <(aecli completion zsh)
  aecli completion fish > ~/.config/fish/completions/aecli.fish
"""

from dataclasses import dataclass

from aecli.cli.completion import SCRIPTS, candidates
from aecli.errors import UsageError
from aecli.errors.text import suggest

WORDS = "words"
"""`aecli completion words LINE` is what the scripts call."""


@dataclass
class Options:
    """The command takes one word and no keys."""


def main(arguments: list[str]) -> None:
    """Print the script of a shell, or what may complete a line.

    Raises:
        UsageError: there is no script for the shell.
    """
    match arguments:
        case [shell] if shell in SCRIPTS:
            print(SCRIPTS[shell], end="")
        case [word, line] if word == WORDS:
            print("\n".join(candidates(line)))
        case []:
            raise UsageError(f"completion needs a shell: give one of {', '.join(SCRIPTS)}")
        case [shell, *_]:
            raise UsageError(f"there is no completion for {shell!r}: {suggest(shell, SCRIPTS)}")
