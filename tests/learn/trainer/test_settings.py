import math

import pytest

from learn.trainer import TrainerSettings
from psf import InputError


def test_settings_survive_their_json_form():
    settings = TrainerSettings(steps=70, batch=3, betas=(0.8, 0.95), warmup_steps=2, precision="bf16", threads=2)
    assert TrainerSettings.from_json(settings.to_json()) == settings


def test_what_weights_do_not_hang_on_is_not_described():
    one = TrainerSettings(workers=0, threads=1, save_every=10).describe()
    assert one == TrainerSettings(workers=4, threads=None, save_every=100).describe()
    assert one != TrainerSettings(rate=2e-4).describe()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": 0}, "trainer.steps: found 0"),
        ({"batch": 2.5}, "trainer.batch: found 2.5"),
        ({"batch": True}, "trainer.batch: found True"),
        ({"rate": 0.0}, "trainer.rate"),
        ({"rate": math.nan}, "trainer.rate"),
        ({"rate": "fast"}, "trainer.rate"),
        ({"final_rate": -1.0}, "trainer.final_rate"),
        ({"warmup_steps": 39_000}, "trainer.warmup_steps: found 39000, expected fewer than the 39000 steps"),
        ({"betas": (0.9, 1.0)}, "trainer.betas"),
        ({"betas": 0.9}, "trainer.betas"),
        ({"weight_decay": -1.0}, "trainer.weight_decay"),
        ({"clip_norm": 0.0}, "trainer.clip_norm"),
        ({"ema": 1.0}, "trainer.ema"),
        ({"precision": "fp8"}, "trainer.precision"),
        ({"seed": 1.5}, "trainer.seed"),
        ({"workers": -1}, "trainer.workers"),
        ({"threads": 0}, "trainer.threads"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, words):
    with pytest.raises(InputError, match=words):
        TrainerSettings(**changes)


def test_unknown_keys_are_refused():
    with pytest.raises(InputError, match=r"trainer.speed: found a name that is not known, expected .*steps"):
        TrainerSettings.from_json({"speed": 3})
    with pytest.raises(InputError, match="trainer: found list, expected an object"):
        TrainerSettings.from_json([])
