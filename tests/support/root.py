"""What only root can prepare: mounts, other owners, other users."""

import os


def need_root() -> None:
    """Skips the test where it is not run by root; a skipped test has failed, unless `--allow-skips` says otherwise."""
    if os.geteuid() != 0:
        import pytest  # not in the processes that rigs start

        pytest.skip("needs root, to mount or to act as another user")
