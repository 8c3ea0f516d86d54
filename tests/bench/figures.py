"""Timing, and tables of what was timed."""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping

Figure = float | int | str | None


def seconds(action: Callable[[], object]) -> float:
    """What it takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def tell(title: str, rows: Mapping[str, Mapping[str, Figure]], **facts: object) -> None:
    """Prints a table, a row for each who, and the same as one line of JSON."""
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    width = max(len(who) for who in rows) + 2
    lines = ["", f"{title} ({os.cpu_count()} cores, load {os.getloadavg()[0]:.1f})"]
    lines.append(" " * width + "".join(f"{column:>18}" for column in columns))
    for who, row in rows.items():
        lines.append(f"{who:{width}}" + "".join(f"{_text(row.get(column)):>18}" for column in columns))
    lines.append(json.dumps({"benchmark": title, **facts, "rows": rows}, default=str))
    sys.stdout.write("\n".join(lines) + "\n")


def _text(figure: Figure) -> str:
    if figure is None:
        return ""
    return f"{figure:.2f}" if isinstance(figure, float) else str(figure)
