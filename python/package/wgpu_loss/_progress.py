"""Progress of long calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

Report: TypeAlias = Callable[[int, "int | None"], object]
ProgressLike: TypeAlias = Report | bool | None


@contextmanager
def reporting(progress: ProgressLike) -> Iterator[Report | None]:
    """Give the function that is called with the rows done and the rows in all, if any is wanted."""
    if progress is None or progress is False:
        yield None
    elif callable(progress):
        yield progress
    elif progress is True:
        try:
            from tqdm.auto import tqdm
        except ImportError:
            yield None
            return
        with tqdm(unit=" rows", unit_scale=True, leave=False) as bar:

            def report(rows: int, of: int | None) -> None:
                bar.total = of
                bar.update(rows - bar.n)

            yield report
    else:
        raise TypeError(f"progress is {progress!r}, but it must be True, a function of two numbers or None")
