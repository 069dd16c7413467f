"""`python -m aqqua_science` is the `aqqua` command."""

from aqqua_science.cli import main

if __name__ == "__main__":
    main()
