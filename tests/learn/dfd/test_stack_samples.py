from dataclasses import replace

import pytest
import torch

from learn.dfd.stack_samples import DrawnStack, collate
from learn.dfd.stack_synthesis import draw_stack
from psf import InputError


@pytest.fixture(scope="module")
def samples(synthesis):
    return [draw_stack(synthesis, index) for index in (0, 1)]


def test_a_batch_holds_its_stacks(samples):
    batch = collate(samples)
    assert len(batch) == 2
    assert batch.stack.shape == (2, 3, 3, 32, 32)
    assert batch.focus_m.shape == (2, 3)
    assert batch.radius.shape == batch.depth_m.shape == batch.in_front.shape == (2, 1, 32, 32)
    assert torch.equal(batch.depth_dpt, 1 / batch.depth_m)
    assert batch.index.tolist() == [0, 1]
    assert torch.equal(batch.blur_px[1], samples[1].blur_px)
    assert batch.to("cpu").drawn == batch.drawn


def test_drawn_numbers_survive_json(samples):
    assert DrawnStack.from_json(samples[1].drawn.to_json()) == samples[1].drawn


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: [], "expected at least one stack"),
        (lambda s: [s[0], replace(s[1], encoding="srgb")], "collate(samples[1].encoding): found 'srgb'"),
        (
            lambda s: [s[0], replace(s[1], stack=s[1].stack[:2])],
            "collate(samples[1].stack): found shape (2, 3, 32, 32)",
        ),
    ],
)
def test_stacks_that_do_not_fit_make_no_batch(samples, change, words):
    with pytest.raises(InputError) as caught:
        collate(change(samples))
    assert words in str(caught.value)


def test_numbers_of_something_else_are_refused():
    with pytest.raises(InputError, match="drawn numbers of a stack"):
        DrawnStack.from_json({"index": 1})
