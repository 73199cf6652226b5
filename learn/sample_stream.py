"""Samples for training, on and on: each worker of each rank makes its own, and all together the same batches.

    dataset = SampleStream(synthesis, batch=64, rank=rank, ranks=8, first_step=1200)
    for batch in make_loader(dataset, workers=8): ...

Step s of a training with a global batch of B takes the samples s B to s B + B - 1, and rank r of R the r-th part of
them. A loader asks its workers in turn, so worker w of W makes steps w, w + W and so on: what a step gets depends on
the number of ranks only in how it is divided, and on the number of workers not at all.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from psf import InputError

from .samples import Batch, Sample, collate
from .synthesis import Synthesis, draw_sample


@dataclass(frozen=True, eq=False, kw_only=True)
class IndexStream(IterableDataset[Any]):
    """Samples of one rank, batch after batch; what a sample is, and how some make a batch, is said by who inherits.

    Attributes:
        batch: Samples of a step, over all ranks.
        rank: This process among those that train.
        ranks: How many of these there are; they divide `batch`.
        first_step: Where to begin: a run that goes on begins with the steps it has done.
        steps: Where to end, counted from 0; None: never.
    """

    batch: int
    rank: int = 0
    ranks: int = 1
    first_step: int = 0
    steps: int | None = None

    def __post_init__(self) -> None:
        own = type(self).__name__
        for name, least in (("batch", 1), ("ranks", 1), ("rank", 0), ("first_step", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError(f"{own}.{name}", repr(value), f"a whole number from {least}")
        if self.rank >= self.ranks:
            raise InputError(f"{own}.rank", self.rank, f"0 to {self.ranks - 1}, of {self.ranks} ranks")
        if self.batch % self.ranks:
            raise InputError(f"{own}.batch", self.batch, f"a multiple of the {self.ranks} ranks")
        if self.steps is not None and self.steps < self.first_step:
            raise InputError(f"{own}.steps", self.steps, f"at least the first step, {self.first_step}")

    @property
    def share(self) -> int:
        """Samples of a step that this rank makes: the batch size of its loader."""
        return self.batch // self.ranks

    def list_indices(self, step: int) -> range:
        """Numbers of the samples that this rank makes for a step."""
        first = step * self.batch + self.rank * self.share
        return range(first, first + self.share)

    def make(self, index: int) -> Any:
        """Sample `index`, of the index alone."""
        raise NotImplementedError

    @property
    def join(self) -> Callable[[Sequence[Any]], Any]:
        """The function that makes one batch of some samples; other processes import it by its name."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        own, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        step = self.first_step + own
        while self.steps is None or step < self.steps:
            for index in self.list_indices(step):
                yield self.make(index)
            step += workers


@dataclass(frozen=True, eq=False)
class SampleStream(IndexStream):
    """The samples of a synthesis.

    Attributes:
        synthesis: What they are made of.
        with_depth: Keep the depth of each patch.
    """

    synthesis: Synthesis
    with_depth: bool = False

    def make(self, index: int) -> Sample:
        """Sample `index`."""
        return draw_sample(self.synthesis, index, with_depth=self.with_depth)

    @property
    def join(self) -> Callable[[Sequence[Sample]], Batch]:
        """`collate`."""
        return collate


def make_loader(stream: IndexStream, *, workers: int = 0, prefetch: int = 2, pin_memory: bool = False) -> Any:
    """A `DataLoader` of batches in the order of their steps.

    Args:
        stream: The samples.
        workers: Processes that make them, each in one thread; 0: none but this one. They are started afresh, so that
            a script that calls this stands behind `if __name__ == "__main__":`.
        prefetch: Batches that each worker makes ahead.
        pin_memory: As `DataLoader` has it.

    Returns:
        Gives what the stream joins, `Batch` of a `SampleStream`.
    """
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 0:
        raise InputError("make_loader(workers)", repr(workers), "a whole number from 0")
    options: dict[str, Any] = {}
    if workers:
        # Forked processes inherit locks and dead threads.
        options = {"multiprocessing_context": "spawn", "prefetch_factor": prefetch, "persistent_workers": False}
    loader: DataLoader[Any] = DataLoader(
        stream,
        batch_size=stream.share,
        num_workers=workers,
        collate_fn=stream.join,
        pin_memory=pin_memory,
        **options,
    )
    return loader
