"""Sweeper: list, judge and remove orphaned workspace directories of a mounted volume."""

__version__ = "0.1.0"
