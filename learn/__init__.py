"""Learning on top of `psf` and `render`: restoration and depth from defocus."""
