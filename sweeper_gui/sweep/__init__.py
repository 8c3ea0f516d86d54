"""The sweep protocol: preflight, recheck, set aside, confirm, remove, report, and what follows from it."""
