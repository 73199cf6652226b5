"""Image formation: what a camera with a given PSF field records of a picture and its depth map."""
