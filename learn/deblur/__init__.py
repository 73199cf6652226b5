"""Restoring what a lens with a fixed focus blurs: training, evaluation and photographs, after Yang et al. 2025.

python -m learn.deblur train PHOTOS --field F.h5 -o RUN      a network from photographs and a lens
python -m learn.deblur evaluate EVAL ...                     it and its rivals on a fixed set
python -m learn.deblur restore IN.dng --model M.pt -o OUT    12 megapixels without seams
"""
