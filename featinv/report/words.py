"""What the numbers mean, in a line each, for people who do not train networks."""

LEVEL_MEANINGS = {
    "L1": "What kind of thing an image shows can be told.",
    "L2": "Reconstructions look more like their own originals than like others of their kind.",
    "L3": "Some originals can be picked out of many candidates.",
    "L4": "Most originals can be picked out of many candidates.",
}

CRITERIA = (
    "Each level has a criterion of its own, and the verdict is the highest that holds: in the view that is hardest for "
    "it, at the lower bound, and after correction for all rows and levels. For each level, the row that comes nearest:"
)
CONTROLS = (
    "Controls show what anybody gets without training an attack: from the public images alone (mean image), from a "
    "vector that belongs to another image, or by looking up the public image whose vector is most alike (nearest "
    "neighbour). What an attack finds beyond its best control is what the attack itself adds."
)
ATTRIBUTES = (
    "How often a simple reader (a linear probe) tells an attribute of a private image: by always naming the "
    "commonest value, off the released vector, off what an attack made of it, and off the original. What can be read "
    "off the vector leaks without any reconstruction."
)
INTERVALS = "Every number is a mean or a rate over all private images, with its 95 % interval."
PRIVATE = (
    "This report shows private images: {count} originals beside what was reconstructed from their vectors. Pass it "
    "on only where those images may go; `featinv report RUN --no-images` writes it without them."
)
AT_LEAST = "At least this much leaks under this budget; a stronger attack may show more. No number here says safe."
