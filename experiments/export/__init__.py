"""Runs of a store for other tools: `series` chooses them, `trackers` writes them, `command` is the command line."""
