"""Training: a run assembled (`problem`), probed (`probes`), beside others (`batch`, `vectorised`); the `trainer`."""
