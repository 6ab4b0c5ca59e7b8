"""``python -m kinesphere.cli``: the same as the ``kinesphere`` command."""

from kinesphere.cli import main

if __name__ == "__main__":
    main()
