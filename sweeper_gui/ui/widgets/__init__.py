"""The parts that the window is put together from; each shows what it is given and tells what was asked of it."""
