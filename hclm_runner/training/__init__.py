"""Training: a run assembled (`problem`), its parts probed (`probes`), the runs axis (`batch`), the loop (`trainer`)."""
