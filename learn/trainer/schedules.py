"""The step size over a training, as a function of the step alone: nothing to be saved."""

import math

from psf import InputError

from .settings import TrainerSettings


def find_rate(settings: TrainerSettings, step: int) -> float:
    """AdamW's step size: rising evenly over the warm-up, then half a cosine down to the final rate.

    Args:
        settings: Of the training.
        step: From 0.
    """
    if isinstance(step, bool) or not isinstance(step, int) or step < 0:
        raise InputError("find_rate(step)", repr(step), "a whole number from 0")
    if step < settings.warmup_steps:
        return settings.rate * (step + 1) / settings.warmup_steps
    done = min(1.0, (step - settings.warmup_steps) / (settings.steps - settings.warmup_steps))
    return settings.final_rate + 0.5 * (settings.rate - settings.final_rate) * (1 + math.cos(math.pi * done))
