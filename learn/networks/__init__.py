"""Networks that restore packed mosaics, and their files.

network = make_network(find_config("tiny"), generator=g)         # the identity, ready to be trained
restored = network(planes)                                       # R, Gr, Gb, B and planes that tell more
save_network(network, "out/tiny.pt", notes={"field_sha256": digest})
network = load_network("out/tiny.pt").network
"""

from .checkpoints import SavedNetwork, hash_weights, load_network, save_network
from .config import NAFNetConfig, count_macs, count_parameters, find_config
from .local_means import average_boxes, find_box
from .nafnet import NAFBlock, NAFNet, make_network
from .onnx_files import compare_onnx, write_onnx
from .published import import_published
from .strips import run_strips

__all__ = [
    "NAFBlock",
    "NAFNet",
    "NAFNetConfig",
    "SavedNetwork",
    "average_boxes",
    "compare_onnx",
    "count_macs",
    "count_parameters",
    "find_box",
    "find_config",
    "hash_weights",
    "import_published",
    "load_network",
    "make_network",
    "run_strips",
    "save_network",
    "write_onnx",
]
