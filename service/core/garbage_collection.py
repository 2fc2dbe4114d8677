"""Python's collector of reference cycles, made rare."""

import gc

NEW_OBJECTS = 100_000
"""What is made between two looks: a batch of 1,000 rows is about 5,000 objects."""


def collect_rarely() -> None:
    """Rows are many small objects without cycles: looking for some costs a third of the time."""
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, 50, 100)
