from dataclasses import replace

import pytest
import torch

from learn.trainer import train
from learn.trainer.logs import read_log
from psf import InputError
from psf.runs import read_settings
from render import read_picture

pytest.importorskip("lightning_fabric")


def alike(one, two):
    return one.keys() == two.keys() and all(
        torch.equal(value, two[name]) if isinstance(value, torch.Tensor) else value == two[name]
        for name, value in one.items()
    )


def told(folder):
    return [
        {name: value for name, value in row.items() if name != "steps_per_s"} for row in read_log(folder / "log.csv")
    ]


def stop_after(step):
    """Asked after each step: yes at that one."""
    asked = []

    def ask():
        asked.append(1)
        return len(asked) >= step

    return ask


def test_training_makes_the_loss_small_and_writes_what_it_says(line, short, tmp_path):
    outcome = train(line(), replace(short, steps=120), tmp_path / "run", device="cpu")
    assert (outcome.is_done, outcome.step, outcome.network) == (True, 120, tmp_path / "run" / "network.pt")
    rows = read_log(tmp_path / "run" / "log.csv")
    assert rows[-1]["error"] < 0.3 * rows[0]["error"]
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"run.json", "log.csv", "samples", "network.pt", "state.pt", "state.previous.pt"} <= names


def test_the_log_has_a_line_per_interval_and_evaluations_in_theirs(line, short, tmp_path):
    train(line(), short, tmp_path / "run", device="cpu")
    rows = told(tmp_path / "run")
    assert [row["step"] for row in rows] == [0, 4, 8, 10, 12, 16, 20, 24, 28, 30]
    assert [row["step"] for row in rows if "error" in row] == [0, 10, 20, 30]
    assert [row["step"] for row in rows if "l1_gradient" in row] == [4, 8]
    assert all(row["loss"] == row["l1"] for row in rows[1:])


def test_sample_pictures_keep_their_values(line, short, tmp_path):
    train(line(), short, tmp_path / "run", device="cpu")
    pictures = sorted((tmp_path / "run" / "samples").iterdir())
    assert [path.name for path in pictures] == [f"step_{step:06d}.png" for step in (0, 10, 20, 30)]
    shown = read_picture(pictures[0], encoding="linear")
    assert float(shown.max()) == pytest.approx(0.25, abs=1 / 255)


@pytest.mark.parametrize("step", [1, 7, 9, 12, 29])
def test_a_stopped_run_goes_on_to_the_same_bits(line, short, tmp_path, weights_of, step):
    train(line(), short, tmp_path / "whole", device="cpu")
    first = train(line(), short, tmp_path / "parts", device="cpu", should_stop=stop_after(step))
    assert (first.is_done, first.step, first.network.exists()) == (False, step, False)
    second = train(line(), short, tmp_path / "parts", device="cpu")
    assert (second.is_done, second.first_step) == (True, step)
    assert alike(weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts"))
    assert told(tmp_path / "whole") == told(tmp_path / "parts")


def test_a_run_that_lost_its_last_steps_makes_them_again(line, short, tmp_path, weights_of):
    """As a killed run: the log is ahead of the state."""
    train(line(), short, tmp_path / "whole", device="cpu")

    class Killed(Exception):
        pass

    def kill(step, steps, loss):
        if step == 13:
            raise Killed

    with pytest.raises(Killed):
        train(line(), short, tmp_path / "parts", device="cpu", on_progress=kill)
    assert read_log(tmp_path / "parts" / "log.csv")[-1]["step"] == 12
    assert train(line(), short, tmp_path / "parts", device="cpu").first_step == 7
    assert alike(weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts"))
    assert told(tmp_path / "whole") == told(tmp_path / "parts")


def test_a_run_that_is_done_is_left_as_it_is(line, short, tmp_path, weights_of):
    train(line(), short, tmp_path / "run", device="cpu")
    before = told(tmp_path / "run")
    again = train(line(), short, tmp_path / "run", device="cpu")
    assert (again.is_done, again.first_step) == (True, 30)
    assert told(tmp_path / "run") == before


def test_another_setting_is_refused_by_its_name(line, short, tmp_path):
    train(line(), replace(short, steps=4), tmp_path / "run", device="cpu")
    with pytest.raises(InputError, match=r"run: trainer.rate: found .*0.01.* to go on with this run"):
        train(line(), replace(short, steps=4, rate=0.02), tmp_path / "run", device="cpu")
    with pytest.raises(InputError, match=r"run: task.name: found .*line"):
        train(line(name="curve"), replace(short, steps=4), tmp_path / "run", device="cpu")
    assert read_settings(tmp_path / "run")["trainer.rate"] == 0.01


def test_what_weights_do_not_hang_on_may_change(line, short, tmp_path):
    train(line(), short, tmp_path / "run", device="cpu", should_stop=stop_after(3))
    changed = replace(short, save_every=2, threads=1)
    assert train(line(), changed, tmp_path / "run", device="cpu").is_done


def test_a_loss_that_is_lost_ends_the_run_and_the_state_before_is_kept(line, short, tmp_path):
    with pytest.raises(InputError, match=r"step 16: loss: found nan, expected a finite one: a smaller rate"):
        train(line(lost_at=14), short, tmp_path / "run", device="cpu")
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    assert state["step"] == 14
    assert all(bool(values.isfinite().all()) for values in state["network"].values())


def test_the_seed_draws_the_first_weights(line, short, tmp_path, weights_of):
    for seed, name in ((0, "a"), (0, "b"), (1, "c")):
        train(line(), replace(short, steps=4, seed=seed), tmp_path / name, device="cpu")
    assert alike(weights_of(tmp_path / "a"), weights_of(tmp_path / "b"))
    assert not alike(weights_of(tmp_path / "a"), weights_of(tmp_path / "c"))


def test_gradients_are_cut_to_their_norm(line, short, tmp_path):
    """With plain gradient steps a small norm would show in the weights; AdamW hides it, so the norm is looked at."""
    train(line(), replace(short, clip_norm=float("inf")), tmp_path / "free", device="cpu")
    train(line(), replace(short, clip_norm=1e-8), tmp_path / "cut", device="cpu")
    # The log tells the norm before it is cut; steps this small are within AdamW's own floor, and move less.
    assert read_log(tmp_path / "cut" / "log.csv")[1]["gradient_norm"] > 0.1
    last_free, last_cut = (read_log(tmp_path / name / "log.csv")[-1]["error"] for name in ("free", "cut"))
    assert last_free < last_cut


def test_a_folder_of_something_else_is_refused(line, short, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match=r"files but no run\.json"):
        train(line(), short, tmp_path / "mine", device="cpu")


def test_progress_tells_steps_and_the_last_loss(line, short, tmp_path):
    steps, begun = [], []
    train(
        line(),
        replace(short, steps=6),
        tmp_path / "run",
        device="cpu",
        on_progress=lambda done, of, loss: steps.append((done, of, loss is None)),
        on_begin=begun.append,
    )
    assert steps == [(1, 6, True), (2, 6, True), (3, 6, True), (4, 6, False), (5, 6, False), (6, 6, False)]
    assert begun == [0]
