"""What the runner costs: a training step beside a plain loop (`step`), and a sweep beside stock Hydra (`sweep`)."""
