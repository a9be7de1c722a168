"""The numbers under the figures, as one page of Markdown."""

from collections.abc import Mapping
from typing import Any

CONTEXT = (
    "For context, the author's own logs, whose images are not to be had: one image, 5,000 epochs, "
    "BCE 0.6292 to 0.5978; two images, 4,000 epochs, 0.6968 to 0.4357."
)


def page(figures: Mapping[str, Mapping[str, Any]], *, enlarged: bool = False) -> str:
    """Return the page of the figures that are there; `enlarged` says that small images were, as asked."""
    parts = {"1": _first, "2": _second, "3": _third, "4": _models, "5": _models}
    done = [figure for figure in parts if figure in figures and not (figure == "5" and "4" in figures)]
    note = ["", "Images smaller than the target size were enlarged, as asked."] if enlarged else []
    return "\n".join(["# Numbers under the figures", *note, *(parts[figure](figures[figure]) for figure in done), ""])


def _first(numbers: Mapping[str, Any]) -> str:
    lines = [
        "",
        f"## Figure 1: one image ({numbers['image']}, {numbers['size']} px)",
        "",
        f"The binary cross-entropy of a perfect copy is {numbers['floor']:.4f}, the entropy of its pixels; the excess "
        "over it is what is still wrong.",
        "",
        "| optimiser | epoch | BCE | excess | PSNR dB | SSIM |",
        "|---|---|---|---|---|---|",
    ]
    for optimiser, entry in numbers["optimisers"].items():
        for row in entry["rows"]:
            level = f"{row['psnr']:.2f} | {row['ssim']:.3f}"
            lines.append(f"| {optimiser} | {row['epoch']:,} | {row['bce']:.4f} | {row['excess']:.4f} | {level} |")
    took = ", ".join(f"{name} {entry['seconds']:.0f} s" for name, entry in numbers["optimisers"].items())
    return "\n".join([*lines, "", f"Training took: {took}. {CONTEXT}"])


def _second(numbers: Mapping[str, Any]) -> str:
    kind = {True: ", of one class", False: ", of two classes", None: ""}[numbers["same_class"]]
    matrix = numbers["mse"]
    return "\n".join(
        [
            "",
            f"## Figure 2: two images ({' and '.join(numbers['images'])}{kind})",
            "",
            f"After {numbers['epochs']:,} epochs ({numbers['optimiser']}, {numbers['seconds']:.0f} s): "
            f"{numbers['psnr']:.2f} dB, SSIM {numbers['ssim']:.3f}, BCE {numbers['excess']:.4f} over its floor. The "
            f"vectors' cosine is {numbers['vectors_cosine']:.3f}. **{numbers['found']} of 2 vectors give back their "
            "own image**.",
            "",
            "| MSE of what comes back | to image 1 | to image 2 |",
            "|---|---|---|",
            *(f"| of vector {i + 1} | {row[0]:.5f} | {row[1]:.5f} |" for i, row in enumerate(matrix)),
        ]
    )


def _third(numbers: Mapping[str, Any]) -> str:
    lines = [
        "",
        "## Figure 3: vectors that belong to neither image",
        "",
        "| vector | negative numbers | PSNR to the nearer image, dB | share of it between the two | what it is |",
        "|---|---|---|---|---|",
    ]
    for name, entry in numbers["vectors"].items():
        levels = ", ".join(f"{level:.1f}" for level in entry["psnr_to_nearer"])
        lines.append(
            f"| {name} | {entry['negative']:.0%} | {levels} | "
            f"{entry['share_of_variance_between']:.0%} | {entry['words']} |"
        )
    return "\n".join(lines)


def _models(numbers: Mapping[str, Any]) -> str:
    lines = [
        "",
        "## Figures 4 and 5: training images and unseen ones",
        "",
        f"Top-10 is among {numbers['gallery']:,} images on both sides: the image's own original and unseen ones.",
        "",
        "| model | images | epochs | PSNR dB, training | unseen | agreement %, training | unseen "
        "| top-10 %, training | unseen |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, rows in numbers["measures"].items():
        model, _, count = name.rpartition(", ")
        for row in rows:
            cells = [
                _interval(row[side][metric], 1 if metric == "psnr" else 100)
                for metric in ("psnr", "agreement", "reid_top10")
                for side in ("training", "unseen")
            ]
            epochs = f"{row['epochs']:,.1f}" if row["seen"] else "–"
            lines.append(f"| {model} | {int(count):,} | {epochs} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _interval(value: Mapping[str, float], scale: int) -> str:
    mean, low, high = (scale * value[key] for key in ("mean", "low", "high"))
    digits = 2 if scale == 1 else 1
    return f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
