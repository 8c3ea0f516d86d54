"""Where work runs: the engine, the process it lives in, and the messages between it and the front ends."""
