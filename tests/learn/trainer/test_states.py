import pytest
import torch
from torch import nn

from learn.trainer.states import PREVIOUS_FILE, STATE_FILE, TrainingState, read_state, write_state
from psf import InputError


def make_state(step=3):
    network = nn.Linear(2, 1)
    optimiser = torch.optim.AdamW(network.parameters(), betas=(0.9, 0.9))
    network(torch.ones(4, 2)).sum().backward()
    optimiser.step()
    return TrainingState(
        step, network.state_dict(), network.state_dict(), optimiser.state_dict(), {"loss": (0.1 + 0.2, 2)}, {}
    )


def test_a_state_comes_back_to_the_bit(tmp_path):
    state = make_state()
    write_state(state, tmp_path)
    found = read_state(tmp_path)
    assert (found.step, found.sums, found.scaler) == (3, state.sums, {})
    assert all(torch.equal(found.network[name], values) for name, values in state.network.items())
    moments, wanted = found.optimiser["state"][0], state.optimiser["state"][0]
    assert all(torch.equal(moments[name], values) for name, values in wanted.items())
    assert found.optimiser["param_groups"] == state.optimiser["param_groups"]


def test_the_last_state_and_the_one_before_are_kept(tmp_path):
    for step in (1, 2, 3):
        write_state(make_state(step), tmp_path)
    assert read_state(tmp_path).step == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == [PREVIOUS_FILE, STATE_FILE]
    (tmp_path / STATE_FILE).unlink()
    assert read_state(tmp_path).step == 2


def test_a_folder_without_a_state_has_none(tmp_path):
    assert read_state(tmp_path) is None


def test_a_run_killed_between_two_renames_goes_on_with_the_new_state(tmp_path):
    for step in (1, 2):
        write_state(make_state(step), tmp_path)
    (tmp_path / PREVIOUS_FILE).unlink()
    (tmp_path / STATE_FILE).replace(tmp_path / f".{STATE_FILE}.new")
    assert read_state(tmp_path).step == 2


def test_a_damaged_state_is_passed_over_with_a_warning(tmp_path):
    for step in (1, 2):
        write_state(make_state(step), tmp_path)
    (tmp_path / STATE_FILE).write_bytes(b"torn")
    with pytest.warns(UserWarning, match=r"going on from step 1 of state.previous.pt: .*state.pt"):
        assert read_state(tmp_path).step == 1


@pytest.mark.parametrize("content", [{}, {"format": "psfield.training", "format_version": 1, "step": 2}])
def test_a_file_that_is_no_state_is_refused(tmp_path, content):
    torch.save(content, tmp_path / STATE_FILE)
    with pytest.raises(InputError, match=r"state.pt: found"):
        read_state(tmp_path)
