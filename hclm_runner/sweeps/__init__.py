"""Many runs: composed fast, trained in fused bundles, resumed from the store."""
