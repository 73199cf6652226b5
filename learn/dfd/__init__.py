"""Depth from a focal stack by a camera whose lens is known, after Wu, Monno and Okutomi.

python -m learn.dfd make-stacks --fields F1.h5 F2.h5 ... -o SHARDS -n N    focal stacks with their depth
python -m learn.dfd preview --fields F1.h5 F2.h5 ... -o page.png           what a network will see
python -m learn.dfd train --fields F1.h5 F2.h5 ... -o RUN                  a network for this lens
python -m learn.dfd evaluate --fields F1.h5 F2.h5 ... -o RESULTS           it and its rivals
python -m learn.dfd apply STACK --model RUN/network.pt --fields F1.h5 F2.h5 ... -o depth.exr
"""

__all__ = []
