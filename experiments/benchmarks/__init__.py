"""What the runner costs: a step next to a plain loop, a sweep next to stock Hydra and to JAX, a store as it grows."""
