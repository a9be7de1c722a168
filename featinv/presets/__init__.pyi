from .neighbours import redraw as redraw
from .neighbours import retrieval as retrieval
from .posterior import flow as flow
from .published import dcgan as dcgan
from .published import deepsim as deepsim
from .published import listik as listik
from .published import perceptual as perceptual
from .published import r3gan as r3gan
from .published import vqgan as vqgan
from .retouching import retouch as retouch
from .surrogates import distil_two as distil_two
from .surrogates import identify as identify
from .surrogates import two_distilled as two_distilled
from .surrogates import two_surrogates as two_surrogates

__all__ = [
    "dcgan",
    "deepsim",
    "distil_two",
    "flow",
    "identify",
    "listik",
    "perceptual",
    "r3gan",
    "redraw",
    "retouch",
    "retrieval",
    "two_distilled",
    "two_surrogates",
    "vqgan",
]
