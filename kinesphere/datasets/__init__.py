"""From motion files and their words to the clips that every network here is trained and judged on."""
