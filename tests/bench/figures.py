"""Timing, and tables of what was timed: printed, and kept in a file where one is asked for."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

Figure = float | int | str | None

#: What has been told so far.
_told: list[dict[str, object]] = []


def seconds(action: Callable[[], object]) -> float:
    """What it takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def tell(title: str, rows: Mapping[str, Mapping[str, Figure]], **facts: object) -> None:
    """Prints a table, a row for each who, and the same as one line of JSON."""
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    width = max(len(who) for who in rows) + 2
    load = round(os.getloadavg()[0], 1)
    lines = ["", f"{title} ({os.cpu_count()} cores, load {load})"]
    lines.append(" " * width + "".join(f"{column:>18}" for column in columns))
    for who, row in rows.items():
        lines.append(f"{who:{width}}" + "".join(f"{_text(row.get(column)):>18}" for column in columns))
    record: dict[str, object] = {"benchmark": title, "load": load, **facts, "rows": rows}
    lines.append(json.dumps(record, default=str))
    _told.append(record)
    sys.stdout.write("\n".join(lines) + "\n")


def save(file: Path) -> None:
    """Writes what has been told to a file, with when and where; what it holds of other benchmarks stays."""
    kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    now = {"date": datetime.now(UTC).date().isoformat(), "commit": _commit(), "machine": _machine()}
    tables = {record["benchmark"]: now | record for record in _told}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(kept | tables, indent=1, default=str, ensure_ascii=False) + "\n", encoding="utf-8")


def _machine() -> str:
    """'2 cores (Model of the processor), Linux 6.1, Python 3.11.2'."""
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = f" ({models[0]})" if models else ""
    return f"{os.cpu_count()} cores{model}, Linux {platform.release()}, Python {platform.python_version()}"


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parent).stdout.strip()


def _text(figure: Figure) -> str:
    if figure is None:
        return ""
    return f"{figure:.2f}" if isinstance(figure, float) else str(figure)
