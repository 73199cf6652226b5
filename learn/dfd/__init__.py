"""Depth from a focal stack by a camera whose lens is known, after Wu, Monno and Okutomi.

python -m learn.dfd make-stacks --fields F1.h5 F2.h5 ... -o SHARDS -n N    focal stacks with their depth
python -m learn.dfd preview --fields F1.h5 F2.h5 ... -o page.png           what a network will see
"""

__all__ = []
