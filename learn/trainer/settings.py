"""How long, how fast and how exactly a network is trained; nothing of what it learns."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from psf import InputError

Precision = Literal["fp32", "bf16", "fp16"]

# The weights after a step do not hang on these: a run may go on with others.
FREE = ("workers", "threads", "save_every")
_LEAST = {
    "steps": 1,
    "batch": 1,
    "warmup_steps": 0,
    "save_every": 1,
    "evaluate_every": 1,
    "log_every": 1,
    "slope_steps": 0,
    "workers": 0,
}


@dataclass(frozen=True, kw_only=True)
class TrainerSettings:
    """Defaults are those of the full-scale recipe: AdamW, 500 times 78 batches of 64.

    Attributes:
        steps: Updates of the weights.
        batch: Samples in each, over all processes.
        rate: Step size of AdamW after the warm-up.
        final_rate: Where its cosine ends.
        warmup_steps: The rate grows to its value over so many steps; below `steps`.
        betas: Memory of AdamW, of the gradient and of its square.
        weight_decay: Of AdamW.
        clip_norm: Gradients of all weights together are cut to this norm; `inf`: never.
        ema: Memory of the averaged weights, which are the result; 0: no average.
        precision: Of the network alone: "fp32", "bf16", or "fp16" (on a GPU).
        save_every: Steps between states from which a stopped run goes on.
        evaluate_every: Steps between evaluations.
        log_every: Steps that a line of the log is the mean of.
        slope_steps: So many first steps log the norms of the loss's gradients, part by part.
        seed: Of the first weights.
        workers: Processes that make batches, for each process that trains; 0: itself.
        threads: Of the processor, for each process; None: as torch has them. Another number changes last bits.
    """

    steps: int = 39_000
    batch: int = 64
    rate: float = 1e-4
    final_rate: float = 1e-6
    warmup_steps: int = 500
    betas: tuple[float, float] = (0.9, 0.9)
    weight_decay: float = 1e-4
    clip_norm: float = 0.1
    ema: float = 0.999
    precision: Precision = "fp32"
    save_every: int = 500
    evaluate_every: int = 500
    log_every: int = 50
    slope_steps: int = 100
    seed: int = 0
    workers: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        for name, least in (*_LEAST.items(), *((("threads", 1),) if self.threads is not None else ())):
            if not _is_whole(value := getattr(self, name)) or value < least:
                raise InputError(f"trainer.{name}", repr(value), f"a whole number from {least}")
        if not _is_whole(self.seed):
            raise InputError("trainer.seed", repr(self.seed), "a whole number")
        if self.precision not in get_args(Precision):
            raise InputError("trainer.precision", repr(self.precision), " or ".join(map(repr, get_args(Precision))))
        if self.warmup_steps >= self.steps:
            raise InputError("trainer.warmup_steps", self.warmup_steps, f"fewer than the {self.steps} steps")
        if not isinstance(self.betas, tuple | list) or len(self.betas) != 2 or not all(map(_is_share, self.betas)):
            raise InputError("trainer.betas", repr(self.betas), "two numbers from 0 to below 1")
        checks = {
            "rate": (_is_number(self.rate) and 0 < self.rate < math.inf, "above 0"),
            "final_rate": (_is_number(self.final_rate) and 0 <= self.final_rate < math.inf, "0 or more"),
            "weight_decay": (_is_number(self.weight_decay) and 0 <= self.weight_decay < math.inf, "0 or more"),
            "clip_norm": (_is_number(self.clip_norm) and self.clip_norm > 0, "above 0; inf does not clip"),
            "ema": (_is_share(self.ema), "from 0 to below 1"),
        }
        for name, (holds, expected) in checks.items():
            if not holds:
                raise InputError(f"trainer.{name}", repr(getattr(self, name)), expected)

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON holds them."""
        return asdict(self) | {"betas": list(self.betas)}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "TrainerSettings":
        """Settings from what `to_json` wrote; what is missing has its default."""
        if not isinstance(found, Mapping):
            raise InputError("trainer", type(found).__name__, "an object")
        known = {one.name for one in fields(cls)}
        if unknown := sorted(set(found) - known):
            raise InputError(f"trainer.{unknown[0]}", "a name that is not known", ", ".join(sorted(known)))
        whole: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in found.items()}
        return cls(**whole)

    def describe(self) -> dict[str, Any]:
        """All of it that weights and log hang on."""
        return {name: value for name, value in self.to_json().items() if name not in FREE}


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1
