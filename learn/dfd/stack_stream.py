"""Focal stacks for training, on and on, made or read: the rules of `learn.sample_stream`, whoever makes them.

stream = StackStream(synthesis, batch=4, steps=1250)      # 5,000 stacks: an epoch of the paper
for batch in make_loader(stream, workers=2): ...
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch.utils.data import IterableDataset

from ..sample_stream import IndexStream
from ..shards import ShardDataset
from .stack_files import decode_stack
from .stack_samples import StackBatch, StackSample, collate
from .stack_synthesis import StackSynthesis, draw_stack


@dataclass(frozen=True, eq=False)
class StackStream(IndexStream):
    """The focal stacks of a synthesis.

    Attributes:
        synthesis: What they are made of.
    """

    synthesis: StackSynthesis

    def make(self, index: int) -> StackSample:
        """Stack `index`."""
        return draw_stack(self.synthesis, index)

    @property
    def join(self) -> Callable[[Sequence[StackSample]], StackBatch]:
        """`collate`."""
        return collate


@dataclass(frozen=True, eq=False)
class StoredStacks(IterableDataset[Any]):
    """The focal stacks of shards, each once an epoch.

    Attributes:
        shards: Which shards, and how ranks and epochs share them.
    """

    shards: ShardDataset

    def in_epoch(self, epoch: int) -> "StoredStacks":
        """The same stacks in the order of another epoch."""
        return replace(self, shards=self.shards.in_epoch(epoch))

    def __iter__(self) -> Iterator[StackSample]:
        for record in self.shards:
            yield decode_stack(record)
