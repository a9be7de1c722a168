"""A program of its own that writes a Lance dataset to its standard output as an Arrow stream.

Lance ends the whole process on some damaged files, so no process of ours reads them itself. Nothing of featinv is
imported here. Arguments: the folder, the rows of a batch (0: the schema alone), the columns (none: all).
"""

import sys

__all__ = ["main"]


def main(folder: str, rows: int, columns: list[str]) -> None:
    """Write the schema and all batches of these columns, in the order of their rows."""
    import lance
    import pyarrow as pa

    dataset = lance.dataset(folder)
    if rows == 0:
        with pa.ipc.new_stream(sys.stdout.buffer, dataset.schema):
            return
    batches = dataset.scanner(columns=columns, batch_size=rows, scan_in_order=True).to_reader()
    with pa.ipc.new_stream(sys.stdout.buffer, batches.schema) as stream:
        for batch in batches:
            stream.write_batch(batch)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
