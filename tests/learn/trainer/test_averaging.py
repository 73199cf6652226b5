import pytest
import torch
from torch import nn

from learn.trainer.averaging import average_weights, copy_network
from psf import InputError


def make_linear(value):
    network = nn.Linear(2, 2)
    for values in network.parameters():
        nn.init.constant_(values, value)
    return network


def test_average_is_a_sum_of_weights_that_fade():
    average = copy_network(make_linear(0.0))
    wanted = 0.0
    for step, value in enumerate((1.0, 2.0, -1.0, 4.0), start=1000):
        average_weights(average, make_linear(value), 0.9, step)
        wanted = 0.9 * wanted + 0.1 * value
    assert average.weight.flatten().tolist() == pytest.approx([wanted] * 4)


def test_memory_is_short_while_few_steps_are_done():
    average = copy_network(make_linear(0.0))
    average_weights(average, make_linear(1.0), 0.999, 0)
    assert average.bias.tolist() == pytest.approx([0.9, 0.9])


def test_without_memory_the_average_is_the_network():
    average, network = copy_network(make_linear(0.0)), make_linear(0.3)
    average_weights(average, network, 0.0, 3)
    assert torch.equal(average.weight, network.weight)


def test_averaging_leaves_the_network_alone_and_buffers_are_taken():
    network = nn.BatchNorm1d(3)
    average = copy_network(network)
    network.running_mean += 2
    average_weights(average, network, 0.5, 100)
    assert average.running_mean.tolist() == [2.0] * 3
    assert network.weight.requires_grad
    assert not average.weight.requires_grad
    assert network.weight.tolist() == [1.0] * 3


@pytest.mark.parametrize(("memory", "step"), [(1.0, 0), (-0.1, 0), (0.5, -1)])
def test_a_memory_that_cannot_be_is_refused(memory, step):
    with pytest.raises(InputError, match="average_weights"):
        average_weights(copy_network(make_linear(0.0)), make_linear(1.0), memory, step)
