"""Text for people: values and names as messages show them."""

import html
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

# Characters that move the cursor, start an escape sequence or change the direction of text.
_CONTROLS = r"\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff"
# Line breaks are text, except in a name; so are the lone surrogates by which Python represents the
# bytes of a file name that are not UTF-8.
CONTROLS, _UNPRINTABLE = re.compile(f"[{_CONTROLS}]"), rf"[{_CONTROLS}\n\ud800-\udfff]"
_TO_ESCAPE = re.compile(rf"{_UNPRINTABLE}|\\(?:\\|x[0-9a-f]{{2}}|u[0-9a-f]{{4}})")


def invalid_choice(key: str, value: str, valid: Iterable[str]) -> str:
    """The message for a value that is not one of the valid ones."""
    hint = re.sub("^valid: ", "give one of ", suggest(value, valid))
    return f"{key}={shortened(value)} is not valid: {hint}"


def suggest(wrong: str, valid: Iterable[str]) -> str:
    """The end of an error message: the closest valid word, if any, and all valid words."""
    choices = list(valid)
    closest = get_close_matches(wrong, choices, n=1)
    all_valid = f"valid: {', '.join(choices)}"
    return f"did you mean {closest[0]}? ({all_valid})" if closest else all_valid


def listed(words: Iterable[object]) -> str:
    """Join words, as in: 5, 25 and 125."""
    *most, last = map(str, words)
    return f"{', '.join(most)} and {last}" if most else last


def counted(number: int, noun: str) -> str:
    """As in: 1 run, or 1,200 runs."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def distinct(names: Sequence[str]) -> list[str]:
    """The names, each with its number if another is the same: fc (1), conv and fc (3)."""
    counts = Counter(names)
    return [
        name if counts[name] == 1 else f"{name} ({number})" for number, name in enumerate(names, 1)
    ]


def shape_text(shape: Iterable[int]) -> str:
    """As in: 1x28x28."""
    return "x".join(map(str, shape))


def left_out_columns(names: Iterable[str]) -> str:
    """The sentence below a table that is too wide for the terminal."""
    return f"Left out at this width: {', '.join(names)}."


MAX_SHOWN = 60
"""Characters of what was typed that an error message repeats."""


def shortened(value: object) -> str:
    """A value in one line, cut off if it is long."""
    text = one_line(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def one_line(error: object) -> str:
    """The message of any error, without line breaks."""
    return " ".join(str(error).split())


def escaped(text: str) -> str:
    """`text` on one line, with escapes such as `\\xe9` for what a terminal cannot or must not show.

    A text that looks like an escape is escaped as well, so no two texts become one.
    """
    if not _TO_ESCAPE.search(text):
        return text
    return re.sub(rf"{_UNPRINTABLE}|\\", _escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] == "\\":
        return r"\\"
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"


def printable(text: str) -> str:
    """Write control characters and marks of direction as escapes: a name cannot move the cursor."""
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def escape_markdown(text: str) -> str:
    """Escape text that a renderer could take for a table edge, emphasis, code or HTML."""
    return re.sub(r"([\\|*_`~])", r"\\\1", html.escape(printable(text), quote=False))
