import torch

from learn.trainer import Evaluation, Measured


def test_an_evaluation_needs_no_pictures():
    assert Evaluation({"psnr_db": 30.0}).pictures == {}


def test_a_task_is_whatever_has_its_members(line):
    task = line()
    assert isinstance(
        task.measure(lambda x: x.sum(1, keepdim=True), next(iter(_loader(task))), with_slopes=True), Measured
    )


def _loader(task):
    return task.open_loader(batch=2, rank=0, ranks=1, first_step=0, steps=1, workers=0, pin_memory=False)


def test_ranks_of_a_task_share_a_batch(line):
    task = line()
    whole = next(iter(task.open_loader(batch=4, rank=0, ranks=1, first_step=3, steps=4, workers=0, pin_memory=False)))
    parts = [
        next(iter(task.open_loader(batch=4, rank=rank, ranks=2, first_step=3, steps=4, workers=0, pin_memory=False)))
        for rank in (0, 1)
    ]
    assert torch.equal(torch.cat([part.x for part in parts]), whole.x)
