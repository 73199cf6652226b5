import itertools

import pytest
import torch

from learn.sample_stream import SampleStream, make_loader
from learn.samples import collate
from learn.synthesis import draw_sample
from psf import InputError


def indices(batches):
    return [batch.index.tolist() for batch in batches]


def test_a_step_has_its_own_samples(synthesis):
    stream = SampleStream(synthesis, batch=4, steps=2)
    assert [sample.drawn.index for sample in stream] == list(range(8))


def test_ranks_divide_a_step_among_them(synthesis):
    shares = [SampleStream(synthesis, batch=6, rank=rank, ranks=3) for rank in range(3)]
    assert [list(one.list_indices(2)) for one in shares] == [[12, 13], [14, 15], [16, 17]]
    assert {one.share for one in shares} == {2}


def test_a_run_that_goes_on_gets_the_batches_that_come_next(synthesis):
    whole = indices(make_loader(SampleStream(synthesis, batch=2, steps=4)))
    rest = indices(make_loader(SampleStream(synthesis, batch=2, first_step=2, steps=4)))
    assert whole[2:] == rest


def test_a_stream_without_end_goes_on(synthesis):
    assert len(list(itertools.islice(SampleStream(synthesis, batch=2), 5))) == 5


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than this machine has cores
def test_batches_are_the_same_with_any_number_of_workers(synthesis):
    # Which worker makes which step is asked for more of them below; processes cost seconds each.
    stream = SampleStream(synthesis, batch=2, steps=5)
    alone, together = list(make_loader(stream)), list(make_loader(stream, workers=2))
    assert indices(together) == indices(alone)
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(one.input, other.input)
        assert torch.equal(one.target, other.target)
        assert one.drawn == other.drawn


def test_workers_take_steps_in_turn(synthesis, monkeypatch):
    """What a loader's worker does, without a process."""
    found = {}
    for worker in range(3):
        info = type("Info", (), {"id": worker, "num_workers": 3})
        monkeypatch.setattr("learn.sample_stream.get_worker_info", lambda info=info: info)
        monkeypatch.setattr("learn.sample_stream.draw_sample", lambda _, index, with_depth: index)
        found[worker] = list(SampleStream(synthesis, batch=2, first_step=1, steps=6))
    assert found == {0: [2, 3, 8, 9], 1: [4, 5, 10, 11], 2: [6, 7]}


def test_a_batch_of_a_loader_is_its_samples_alone(synthesis):
    batch = next(iter(make_loader(SampleStream(synthesis, batch=2, first_step=3, with_depth=True))))
    expected = collate([draw_sample(synthesis, index, with_depth=True) for index in (6, 7)])
    assert torch.equal(batch.input, expected.input)
    assert torch.equal(batch.depth_m, expected.depth_m)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch": 0}, "batch: found 0, expected a whole number from 1"),
        ({"batch": 5, "ranks": 2}, "batch: found 5, expected a multiple of the 2 ranks"),
        ({"batch": 4, "rank": 2, "ranks": 2}, "rank: found 2, expected 0 to 1, of 2 ranks"),
        ({"batch": 4, "first_step": 3, "steps": 2}, "steps: found 2, expected at least the first step, 3"),
    ],
)
def test_streams_that_cannot_be_are_refused(synthesis, options, words):
    with pytest.raises(InputError) as caught:
        SampleStream(synthesis, **options)
    assert words in str(caught.value)


def test_a_loader_without_a_number_of_workers_is_refused(synthesis):
    with pytest.raises(InputError, match=r"make_loader\(workers\): found -1"):
        make_loader(SampleStream(synthesis, batch=1), workers=-1)
