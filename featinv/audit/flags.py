"""The flags of `featinv audit`: one for each field of `AuditSettings`, and no torch."""

import argparse

from featinv.audit.settings import LEVELS

EXIT_CODES = (
    "Exit codes: 0 done, or within --max-level; 1 more leaks than --max-level allows, and nothing else; 2 bad input, "
    "or a pass that cannot be confirmed; 3 an unexpected error, with a traceback file; 130 interrupted."
)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of an audit; their names are the fields of `AuditSettings`."""
    what = parser.add_argument_group("what is audited (one of the first two)")
    what.add_argument(
        "--victim",
        metavar="NAME[:VALUE][,KEY=VALUE...]",
        help="the encoder: tiny, torchvision:resnet50, cifar_resnet:FILE, ... (`featinv list encoders`), or the import "
        "path of a function of yours that returns one (my_package.encoder:FILE); its code is then run, so name only "
        "what you trust",
    )
    what.add_argument(
        "--features",
        metavar="FILE",
        help="vectors computed elsewhere (.npy, .npz, .safetensors, .pt, .parquet, a feature store, a folder of "
        "numbered .npy files), in place of --victim; with ids, those of the public images may lie in the same file",
    )
    what.add_argument(
        "--public-features", metavar="FILE", help="vectors of the public images, with ids or in their order"
    )
    what.add_argument(
        "--column", metavar="NAME", help="which column, array or tensor holds the vectors (features, embedding, ...)"
    )
    what.add_argument(
        "--id-column",
        metavar="NAME",
        help="which one names the images (ids, path, ...); none: the rows are in the order of the images",
    )
    what.add_argument("--layer", help="where the encoder is cut (its own default)")
    what.add_argument(
        "--defence",
        metavar="NAME[:VALUE][,KEY=VALUE...]",
        default="Identity",
        help="what is done to vectors before release, e.g. GaussianNoise:std=0.1 (nothing)",
    )
    images = parser.add_argument_group("images")
    images.add_argument("--public", metavar="DIR", help="images that an attacker may have, one folder a class if known")
    images.add_argument("--private", metavar="DIR", help="the images whose vectors are published")
    images.add_argument("--size", type=int, help="side in pixels (what the encoder sees; 64 with --features)")
    images.add_argument("--smaller", choices=("refuse", "skip", "upscale"), default="refuse", help="images below it")
    how = parser.add_argument_group("how")
    how.add_argument("--minutes", type=float, default=30, help="of training, all attacks together (30)")
    how.add_argument(
        "--images", type=int, metavar="N", help="images on which each training is done, in place of --minutes"
    )
    how.add_argument(
        "--attack",
        dest="attacks",
        metavar="NAME=PATH",
        action="append",
        default=[],
        help="an attack of yours, NAME=my_package.build, a function of the public pairs; its code is run; repeatable",
    )
    how.add_argument(
        "--judge", dest="judges", metavar="FILE", action="append", default=[], help="who scores; repeatable"
    )
    how.add_argument("--train-judge", action="store_true", help="train one on the labelled public images")
    how.add_argument(
        "--metrics",
        metavar="my_package.my_metric",
        action="extend",
        nargs="+",
        default=[],
        help="metrics of yours beside featinv's, by import path; their code is then run, so name only what you trust",
    )
    how.add_argument(
        "--named",
        metavar="ATTACK",
        default="two surrogates",
        help="the attack on which the level rests (two surrogates); none: all alike, corrected for their number",
    )
    how.add_argument("--seed", type=int, default=0, help="of everything that is drawn (0)")
    results = parser.add_argument_group("results")
    results.add_argument("--out", metavar="DIR", required=True, help="folder for the results; called again it goes on")
    results.add_argument("--max-level", choices=LEVELS, help="exit with 1 where more leaks; none: any level fails")
    results.add_argument(
        "--show-images", action=argparse.BooleanOptionalAction, default=True, help="show private images in the report"
    )
    results.add_argument(
        "--wandb", choices=("online", "offline", "disabled"), default="disabled", help="tell wandb (disabled)"
    )
