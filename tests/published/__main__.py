"""Run the rows of docs/published.md that have no result, and write the page: `make published`."""

import argparse

from tests.published.page import write_page
from tests.published.results import load, run
from tests.published.rows import Row, read_page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="?", default="", help="names of rows, joined by commas")
    parser.add_argument("--page", action="store_true", help="write the page and run nothing")
    options = parser.parse_args()
    write_page()
    if options.page:
        return
    names = list(filter(None, options.rows.split(",")))
    for rows in chosen(read_page().rows, names):
        print(f"{', '.join(row.name for row in rows)}:\n{rows[0].line}", flush=True)
        run(rows)
        write_page()


def chosen(rows: list[Row], names: list[str]) -> list[list[Row]]:
    """The rows to run, those with the same commands together: the named ones, or all rows with a
    missing seed whose requirements this machine meets."""
    unknown = set(names) - {row.name for row in rows}
    if unknown:
        raise SystemExit(f"no such row: {', '.join(sorted(unknown))}")
    wanted = [row for row in rows if (row.name in names if names else not row.needs) and row.lines]
    together: dict[tuple[str, int], list[Row]] = {}
    for row in filter(is_missing, wanted):
        together.setdefault((row.line, row.seeds), []).append(row)
    return [*together.values()]


def is_missing(row: Row) -> bool:
    """Whether a row lacks a result."""
    result = load(row)
    return result is None or len(result.values) < len(row.drawn)


if __name__ == "__main__":
    main()
