"""The dialogs. None of them runs an event loop of its own: each is opened, and awaited with `answer_of`."""
