"""Words in, words out: one file per command, each importing only what it needs."""
