"""A reading of a folder that tests start in several processes: `folder_program.py PHOTOS CACHE`."""

import sys

import featinv as fi
from featinv.data import image_stream

decoded = 0


def main(photos: str, cache: str) -> None:
    real = image_stream.decode_image

    def counted(*args: object, **kwargs: object) -> object:
        global decoded
        decoded += 1
        return real(*args, **kwargs)

    image_stream.decode_image = counted
    images = fi.data.folder(photos, size=16, cache=cache)
    print(f"process {fi.processes.rank()} decoded {decoded} of {len(images)}: {images.fingerprint}", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
