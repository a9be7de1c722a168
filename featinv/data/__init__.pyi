from .array_file import arrays as arrays
from .cifar import cifar10 as cifar10
from .duplicates import Overlap as Overlap
from .duplicates import disjoint as disjoint
from .duplicates import overlap as overlap
from .imageset import ImageSet as ImageSet
from .picture_folder import folder as folder
from .scene_pictures import scenes as scenes
from .scenes_likeness import unlike_scenes as unlike_scenes

__all__ = ["ImageSet", "Overlap", "arrays", "cifar10", "disjoint", "folder", "overlap", "scenes", "unlike_scenes"]
