"""What the numbers mean, in a line each, for people who do not train networks."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Meaning:
    """How a metric is called, the factor and unit that it is shown in, which way is a leak, and what it measures."""

    title: str
    unit: str
    factor: int
    leaks: str
    text: str

    @property
    def heading(self) -> str:
        """Return the title with its unit."""
        return f"{self.title}, {self.unit}" if self.unit else self.title


HIGH, LOW = "higher", "lower"
METRICS = {
    "psnr": Meaning(
        "PSNR",
        "dB",
        1,
        HIGH,
        "How close the pixels are to the original's, in decibels; 6 dB more is half the error. It favours blurred "
        "pictures, and says little about who or what is recognised.",
    ),
    "low_pass_psnr": Meaning(
        "Colour and layout", "dB", 1, HIGH, "PSNR of the pictures without their detail: colours and layout alone."
    ),
    "ssim": Meaning(
        "SSIM", "", 1, HIGH, "How alike the patterns of light and dark are, place by place: 1 is a perfect copy."
    ),
    "ms_ssim": Meaning("MS-SSIM", "", 1, HIGH, "SSIM at five scales together: 1 is a perfect copy."),
    "lpips": Meaning(
        "LPIPS", "", 1, LOW, "How different two pictures look, as learnt from people's judgements: 0 is a perfect copy."
    ),
    "dists": Meaning(
        "DISTS", "", 1, LOW, "How different structure and texture look, whatever the exact place: 0 is a perfect copy."
    ),
    "judge_cosine": Meaning(
        "Alike to the judge",
        "",
        1,
        HIGH,
        "How alike an independent network finds reconstruction and original (cosine).",
    ),
    "judge_agreement": Meaning(
        "Same label",
        "%",
        100,
        HIGH,
        "How often an independent network, the judge, gives reconstruction and original the same label.",
    ),
    "reid_top1": Meaning(
        "Found first",
        "%",
        100,
        HIGH,
        "How often the judge, shown a reconstruction, puts its original first among all private pictures.",
    ),
    "reid_top10": Meaning("Found among ten", "%", 100, HIGH, "How often the original stands among the first ten."),
    "reid_auc": Meaning(
        "Rank",
        "",
        1,
        HIGH,
        "The share of the other private pictures that look less alike than the original: .5 by chance.",
    ),
    "attack_strength": Meaning(
        "Strength",
        "%",
        100,
        HIGH,
        "What the attack adds to the best control: of the pictures that the control does not find among ten, the share "
        "found beyond it. At 0 or below, it adds nothing.",
    ),
    "within class": Meaning(
        "Rank within the class",
        "",
        1,
        HIGH,
        "The same rank among pictures of the same class only: of two of a kind, how often the right one is chosen.",
    ),
    "kid": Meaning(
        "KID",
        "",
        1,
        LOW,
        "How far the reconstructions are from real pictures as a whole: realism, and no leak by itself.",
    ),
    "fid": Meaning(
        "FID", "", 1, LOW, "The same by means and spreads; it compares only between equal numbers of pictures."
    ),
    "memorised": Meaning(
        "Nearer to a public picture",
        "%",
        100,
        LOW,
        "How often some public picture, of all that the attack learnt from, is more alike than the original.",
    ),
    "nearest_is_public": Meaning(
        "Nearest is public",
        "%",
        100,
        LOW,
        "How often the most alike picture, the original aside, is a public one. Above chance, the attack recites what "
        "it learnt from; a row that always shows one picture says nothing here.",
    ),
    "target_cosine": Meaning(
        "Alike to the target",
        "",
        1,
        HIGH,
        "A diagnostic: how alike the released vector and that of the reconstruction are. An attack can please the "
        "target with texture in which nobody sees anything.",
    ),
}

SCOREBOARD = ("psnr", "ssim", "lpips", "dists", "judge_agreement", "reid_top1", "reid_top10", "attack_strength")
"""Columns of the main table, as far as measured."""
OTHERS = (
    "low_pass_psnr",
    "ms_ssim",
    "judge_cosine",
    "within class",
    "kid",
    "fid",
    "memorised",
    "nearest_is_public",
    "target_cosine",
)
"""Columns of the table of further measures, as far as measured."""
DRAWN = ("psnr", "ssim", "lpips", "judge_agreement", "reid_top10", "attack_strength")
"""Metrics whose intervals are drawn."""

LEVEL_MEANINGS = {
    "L1": "What kind of thing a picture shows can be told.",
    "L2": "Reconstructions look more like their own originals than like others of their kind.",
    "L3": "Some originals can be picked out of many candidates.",
    "L4": "Most originals can be picked out of many candidates.",
}

CRITERIA = (
    "Each level has a criterion of its own, and the verdict is the highest that holds: in the view that is hardest for "
    "it, at the lower bound, and after correction for all rows and levels. For each level, the row that comes nearest:"
)
CONTROLS = (
    "Controls show what anybody gets without training an attack: from the public pictures alone (mean image), from a "
    "vector that belongs to another picture, or by looking up the public picture whose vector is most alike (nearest "
    "neighbour). What an attack finds beyond its best control is what the attack itself adds."
)
ATTRIBUTES = (
    "How often a simple reader (a linear probe) tells an attribute of a private picture: by always naming the "
    "commonest value, off the released vector, off what an attack made of it, and off the original. What can be read "
    "off the vector leaks without any reconstruction."
)
INTERVALS = "Every number is a mean or a rate over all private pictures, with its 95 % interval."
PRIVATE = (
    "This report shows private pictures: {count} originals beside what was reconstructed from their vectors. Pass it "
    "on only where those pictures may go; `featinv report RUN --no-pictures` writes it without them."
)
AT_LEAST = "At least this much leaks under this budget; a stronger attack may show more. No number here says safe."
