"""Plain data and pure rules.

What lives here is decided from its arguments alone: no file system, no network, no clock, no Qt.
"""
