"""One training loop for every network here: on a laptop's processor, or by `torchrun` on many GPUs.

outcome = train(task, TrainerSettings(steps=4000, batch=8), "out/run")      # again, after it was stopped: goes on

What is trained, on what and by which loss is a `Task`. The engine is Lightning Fabric: pip install 'psfield[learn]'.
"""

from .engine import open_engine
from .loop import Outcome, train
from .schedules import find_rate
from .settings import TrainerSettings
from .tasks import Evaluation, Measured, Task

__all__ = ["Evaluation", "Measured", "Outcome", "Task", "TrainerSettings", "find_rate", "open_engine", "train"]
