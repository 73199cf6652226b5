"""Photographs for training: a folder of them, crops where they are sharp, and sides that share nothing.

folder = learn.photos.open_photos("PHOTOS")
split = learn.photos.split_photos(folder, share=0.1, generator=g)
crop, lost = folder.subset(split.training).draw(learn.photos.Cropping((577, 577)), g)
"""

from .crops import Cropping, PhotoCrop, Place, centre_place, find_detail
from .developed import develop_photos
from .photo_folder import PhotoFolder, open_photos
from .photo_index import Photo, Unusable
from .splits import Split, load_split, split_photos

__all__ = [
    "Cropping",
    "Photo",
    "PhotoCrop",
    "PhotoFolder",
    "Place",
    "Split",
    "Unusable",
    "centre_place",
    "develop_photos",
    "find_detail",
    "load_split",
    "open_photos",
    "split_photos",
]
