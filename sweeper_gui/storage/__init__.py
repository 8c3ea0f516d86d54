"""The volume: listing, mounts, measuring, removing, trash, lock, and the queue that does the work."""
