"""The same work on many things, in this process or in several, in order and with progress."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]


def in_order(
    work: Callable[[Job], Result],
    jobs: Sequence[Job],
    workers: int,
    progress: Progress | None = None,
    *,
    prepare: Callable[..., None] | None = None,
    prepared: tuple[Any, ...] = (),
) -> list[Result]:
    """``work`` done on every job; progress is called with (done, in all).

    prepare: called once in each process, with ``prepared``, before it works.
    """
    results: list[Result] = []

    def note(result: Result) -> None:
        results.append(result)
        if progress:
            progress(len(results), len(jobs))

    if workers <= 1:
        if prepare:
            prepare(*prepared)
        for job in jobs:
            note(work(job))
        return results
    with ProcessPoolExecutor(workers, initializer=prepare, initargs=prepared) as pool:
        for result in pool.map(work, jobs, chunksize=max(1, min(32, len(jobs) // (8 * workers)))):
            note(result)
    return results
