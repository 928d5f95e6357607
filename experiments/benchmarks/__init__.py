"""What the runner costs: a training step next to a plain loop (`step`), and a sweep next to stock Hydra (`sweep`)."""
