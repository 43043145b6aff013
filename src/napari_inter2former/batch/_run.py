"""Run the jobs of a batch: here, on processes of this machine, or on a Dask cluster."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from napari_inter2former._files import OutputError, remove_leftovers
from napari_inter2former._processors import processors
from napari_inter2former.batch._inputs import BatchError
from napari_inter2former.batch._jobs import Job, Outcome
from napari_inter2former.batch._large import Plan, do_part, finish_job, is_large, plan_job
from napari_inter2former.batch._work import do_job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

__all__ = ["claimed", "run_jobs"]

CONNECT_SECONDS = 15
LOCK = ".inter2former.lock"


def run_jobs(
    jobs: Sequence[Job],
    *,
    workers: int = 1,
    scheduler: str | None = None,
    processes: bool = True,
    progress: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Do all jobs: one Dask task for an image, or for each plane or block of a large one.

    Parameters
    ----------
    jobs : sequence of Job
        What is to be done.
    workers : int
        Processes on this machine; 1 works in this one, without Dask. Each holds the weights and
        one image's windows in memory.
    scheduler : str, optional
        Address of a Dask scheduler (``tcp://...``) whose workers are used instead. They must see
        the same files under the same paths, and have this package.
    processes : bool
        Whether the workers on this machine are processes, or threads of this one.
    progress : callable, optional
        Called with each outcome as it comes.

    Returns
    -------
    list of Outcome
        In the order of `jobs`.

    Raises
    ------
    BatchError
        If Dask is missing, or the scheduler is not there or goes away.
    """
    if scheduler is None and workers == 1:
        outcomes = []
        for job in jobs:
            outcomes.append(do_job(job))
            if progress is not None:
                progress(outcomes[-1])
        return outcomes
    with _client(workers, scheduler, processes) as client:
        return _gather(client, jobs, progress)


def _gather(
    client: Any, jobs: Sequence[Job], progress: Callable[[Outcome], None] | None
) -> list[Outcome]:
    """Submit all jobs; those of large images as a plan, then their blocks, then the end."""
    from distributed import as_completed

    outcomes: dict[int, Outcome] = {}
    plans: dict[int, Plan] = {}
    left: dict[int, int] = {}
    meaning: dict[Any, tuple[str, int]] = {}

    def submit(step: str, i: int, function: Callable[..., Any], *arguments: Any) -> Any:
        # Not pure: outputs that were deleted since have to be made again.
        future = client.submit(function, *arguments, pure=False)
        meaning[future] = (step, i)
        return future

    def ended(i: int, outcome: Outcome) -> None:
        if i not in outcomes:
            outcomes[i] = outcome
            if progress is not None:
                progress(outcome)

    waiting = as_completed(
        [
            submit("plan", i, plan_job, job) if is_large(job) else submit("end", i, do_job, job)
            for i, job in enumerate(jobs)
        ]
    )
    try:
        for future in waiting:
            step, i = meaning.pop(future)
            if future.status == "cancelled":
                raise BatchError(
                    "The connection to the scheduler was lost. What is done stays done: run the "
                    "same command again when the scheduler is back."
                )
            if future.status != "finished":
                # Dask gives up on a task after its workers have died several times.
                reason = f"{type(future.exception()).__name__}: {future.exception()}"
                ended(i, Outcome(jobs[i].image, error=" ".join(reason.split())))
                continue
            result = future.result()
            if isinstance(result, Outcome):
                ended(i, result)
            elif step == "plan":
                plans[i], left[i] = result, result.parts
                for part in range(result.parts):
                    waiting.add(submit("part", i, do_part, jobs[i], result.made, part))
            else:
                left[i] -= 1
                if not left[i]:
                    waiting.add(submit("end", i, finish_job, jobs[i], plans[i].made))
    except BaseException:
        client.cancel(list(meaning), force=True)
        raise
    return [outcomes[i] for i in range(len(jobs))]


@contextmanager
def _client(workers: int, scheduler: str | None, processes: bool) -> Iterator[Any]:
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise BatchError(
            'Several workers need Dask: pip install "napari-inter2former[batch]". '
            "One (--workers 1) needs none."
        ) from error
    if scheduler is not None:
        try:
            client = Client(scheduler, timeout=CONNECT_SECONDS)
        except (OSError, ValueError) as error:
            raise BatchError(
                f"No Dask scheduler answers at {scheduler} ({' '.join(str(error).split())}). "
                "Start one with 'dask scheduler', and workers with 'dask worker ADDRESS', or leave "
                "--scheduler out."
            ) from error
        with client:
            yield client
        return
    # Each task sets its own threads; this is for what else counts processors.
    threads = str(max(1, processors() // workers))
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=processes,
            protocol="tcp",
            host="127.0.0.1",
            dashboard_address=None,
            **({"env": {"OMP_NUM_THREADS": threads}} if processes else {}),
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keep an output folder for this job until the block ends; delete what killed jobs left there.

    Parameters
    ----------
    folder : pathlib.Path
        Made if it is missing. The claim ends with the process, however that ends.

    Raises
    ------
    OutputError
        If it can't be written to, or another job works on it.
    """
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, timeout=0)
        lock.acquire()
    except Timeout as error:
        raise OutputError(
            f"{folder}: another job is writing to this folder. Wait for it, or choose another "
            "folder with --out."
        ) from error
    except OSError as error:
        raise OutputError(
            f"{folder}: the folder can't be written to ({error.strerror or error})."
        ) from error
    try:
        remove_leftovers(folder)
        yield
    finally:
        # The file stays: deleting it while another job opens it would let two in.
        lock.release()
