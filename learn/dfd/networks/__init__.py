"""Networks from a focal stack to depth: shapes, weights, files.

network = make_depth_network(DepthConfig(kind="defocus_net", width=16), generator=g)
output = network(stack, focus_m, radius)           # where depth is, from 0 far to 1 near, and the blur of each picture
depth_m = to_depth_m(output.place, network.config)

A CostVolumeNet takes residuals of candidate depths instead: network(learn.dfd.cost_volume's CostVolume.find(stack)).
"""

from .checkpoints import SavedDepthNetwork, load_depth_network, make_depth_network, save_depth_network
from .config import DepthConfig
from .cost_net import CostVolumeNet
from .defocus_net import DefocusNet
from .dual_dfd import DualDfDNet
from .heads import DepthOutput, to_depth_m, to_place

__all__ = [
    "CostVolumeNet",
    "DefocusNet",
    "DepthConfig",
    "DepthOutput",
    "DualDfDNet",
    "SavedDepthNetwork",
    "load_depth_network",
    "make_depth_network",
    "save_depth_network",
    "to_depth_m",
    "to_place",
]
