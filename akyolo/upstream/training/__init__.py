"""Train models: what our trainers add."""
