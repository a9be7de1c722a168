from .array_file import arrays as arrays
from .cifar import cifar10 as cifar10
from .duplicates import Overlap as Overlap
from .duplicates import disjoint as disjoint
from .duplicates import duplicates_within as duplicates_within
from .duplicates import near_duplicates_within as near_duplicates_within
from .duplicates import overlap as overlap
from .image_archive import archive as archive
from .image_folder import folder as folder
from .image_table import table as table
from .imageset import ImageSet as ImageSet
from .intake import Intake as Intake
from .intake import duplicates_sentences as duplicates_sentences
from .intake import intake_sentences as intake_sentences
from .reading import open_images as open_images
from .scene.images import scenes as scenes
from .scene.likeness import unlike_scenes as unlike_scenes

__all__ = [
    "ImageSet",
    "Intake",
    "Overlap",
    "archive",
    "arrays",
    "cifar10",
    "disjoint",
    "duplicates_sentences",
    "duplicates_within",
    "folder",
    "intake_sentences",
    "near_duplicates_within",
    "open_images",
    "overlap",
    "scenes",
    "table",
    "unlike_scenes",
]
