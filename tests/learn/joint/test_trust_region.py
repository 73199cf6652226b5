import pytest
import torch

from learn.joint.trust_region import begin_model, choose_step, resize_box
from psf import InputError

FAR = torch.full((2,), torch.inf, dtype=torch.float64)
# A narrow valley: a hundred times as steep across as along.
BENT = torch.tensor([[50.5, 49.5], [49.5, 50.5]], dtype=torch.float64)
BEST = torch.tensor([3.0, -1.0], dtype=torch.float64)


def value(at):
    return float(0.5 * (at - BEST) @ BENT @ (at - BEST))


def slope(at):
    return BENT @ (at - BEST)


def test_the_bottom_of_a_narrow_valley_is_found_in_few_steps():
    at, box_steps = torch.zeros(2, dtype=torch.float64), 1.0
    model = begin_model(at, value(at), slope(at), box_steps)
    for _ in range(25):
        at = choose_step(model, -FAR, FAR, box_steps)
        promised, gained = model.objective_db - model.predict_db(at), model.objective_db - value(at)
        box_steps = resize_box(box_steps, promised, gained)
        better = gained > 0
        model = model.moved(at, value(at), slope(at)) if better else model.learn(at, slope(at))
    assert model.vector.tolist() == pytest.approx(BEST.tolist(), abs=1e-2)


def test_the_first_step_goes_downhill_and_ends_at_the_box():
    at = torch.zeros(2, dtype=torch.float64)
    model = begin_model(at, 0.0, torch.tensor([3.0, -4.0], dtype=torch.float64), 1.0)
    assert choose_step(model, -FAR, FAR, 1.0).tolist() == pytest.approx([-0.6, 0.8])


def test_bounds_are_kept():
    at = torch.zeros(2, dtype=torch.float64)
    model = begin_model(at, 0.0, torch.tensor([-1.0, 0.0], dtype=torch.float64), 5.0)
    high = torch.tensor([0.5, torch.inf], dtype=torch.float64)
    assert float(choose_step(model, -FAR, high, 5.0)[0]) == pytest.approx(0.5)


def test_curvature_stays_positive_where_the_slope_falls():
    at = torch.zeros(2, dtype=torch.float64)
    model = begin_model(at, 0.0, torch.tensor([1.0, 1.0], dtype=torch.float64), 1.0)
    for number in range(4):
        there = at + torch.tensor([0.3 * number + 0.1, -0.2], dtype=torch.float64)
        model = model.learn(there, model.slope_db - 5 * (there - at))
        assert float(torch.linalg.eigvalsh(model.curvature_db).min()) > 0


def test_boxes_grow_when_the_model_was_right_and_shrink_when_it_was_wrong():
    assert resize_box(1.0, 0.5, 0.5) > 1.0
    assert resize_box(1.0, 0.5, 0.2) == 1.0
    assert resize_box(1.0, 0.5, -0.3) < 1.0
    assert resize_box(1.0, 0.5, -float("inf")) < 1.0


def test_a_box_without_room_is_refused():
    at = torch.zeros(1, dtype=torch.float64)
    with pytest.raises(InputError, match="box_steps"):
        begin_model(at, 0.0, at, 0.0)
    with pytest.raises(InputError, match="box_steps"):
        choose_step(begin_model(at, 0.0, at, 1.0), -FAR[:1], FAR[:1], 0.0)
