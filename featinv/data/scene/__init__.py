"""The packaged synthetic scenes: the facts of a scene drawn from a seed, and their painting at any size."""
