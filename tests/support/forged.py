"""Logs as someone writes them who knows how they are checked, and has the right to write there."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from sweeper_gui.sweep.log import _Chain


def records_of(log: Path) -> list[dict[str, object]]:
    """The records of a log, without what checks them."""
    records = [json.loads(line) for line in log.read_bytes().splitlines()]
    return [{key: value for key, value in record.items() if key != "check"} for record in records]


def forge(log: Path, records: Iterable[Mapping[str, object]]) -> None:
    """Makes the log tell these records and nothing else, each with its right check."""
    chain = _Chain(log.parent.name)
    log.write_bytes(b"".join(chain.sealed(json.dumps(record).encode()) + b"\n" for record in records))
