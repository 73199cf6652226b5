"""A depth network run over a folder of photographs: `python -m learn.depth FOLDER`."""

from .estimation import Estimation, estimate_folder
from .network import DepthNetwork, find_disparity, load_network, save_untrained_network

__all__ = [
    "DepthNetwork",
    "Estimation",
    "estimate_folder",
    "find_disparity",
    "load_network",
    "save_untrained_network",
]
