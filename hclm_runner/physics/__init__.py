"""The paper's mathematics for one run: energy, observables, the metric force, and what the theorems assume. Pure."""
