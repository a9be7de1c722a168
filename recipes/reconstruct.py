"""Vectors in, images out: turn released vectors back into images with a trained attack.

    python recipes/reconstruct.py --attack runs/demo/upsampling --features vectors.npy --out images

Takes every format of docs/audit.md (.npy, .npz, .parquet, .h5, ...). Writes a PNG a vector, and sheet.png.
"""

from dataclasses import dataclass
from pathlib import Path

import featinv as fi


@dataclass(frozen=True)
class Config:
    """Which attack, on which vectors."""

    attack: str
    """folder of a trained attack (attack.json and weights.safetensors)"""
    features: str
    """file of vectors, or a feature store"""
    out: str
    """new or empty folder for the images"""
    allow: tuple[str, ...] = ()
    """import paths of decoders or attacks of others that you trust"""
    batch_size: int = 64
    """vectors at a time"""


def main(config: Config) -> None:
    import torch
    from einops import rearrange
    from PIL import Image

    out = Path(config.out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise fi.BadInput(f"--out {out}: expected a new or empty folder, so that no image is overwritten")
    fi.processes.share_threads()
    attack = fi.load_attack(config.attack, allow=config.allow)
    vectors = fi.load_features(config.features)
    for note in vectors.notes:
        print(f"Note: {note}.")
    if vectors.metadata is not None:
        fi.victim.features_must_match(attack.victim, vectors.metadata)
    out.mkdir(parents=True, exist_ok=True)
    count, first = len(vectors.features), list[torch.Tensor]()
    with fi.processes.progress_bar(count, "reconstructing") as bar:
        for start in range(0, count, config.batch_size):
            rows = slice(start, start + config.batch_size)
            images = attack.reconstruct(torch.from_numpy(vectors.features[rows].copy()))
            pixels = rearrange((images * 255).round().to(torch.uint8), "n c h w -> n h w c").numpy()
            for row, image in enumerate(pixels, start):
                with fi.files.atomic_file(out / f"{row:06d}.png") as temporary:
                    Image.fromarray(image).save(temporary, format="PNG")
            first += list(images[: max(0, 64 - len(first))])
            bar.update(len(pixels))
    sheet = fi.evaluation.grid(torch.stack(first))
    sheet.save(out / "sheet.png")
    if vectors.ids is not None:
        # A stranger's names are no paths of ours: the files are numbered, and the names stand beside them.
        fi.files.write_json(out / "names.json", {f"{row:06d}.png": name for row, name in enumerate(vectors.ids)})
    print(f"{out}: {count} images, and the first {len(first)} of them in sheet.png")


if __name__ == "__main__":
    fi.command_line.run(main, Config, __doc__)
