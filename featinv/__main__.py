"""`python -m featinv` is the `featinv` command."""

from featinv.cli import main

if __name__ == "__main__":
    main()
