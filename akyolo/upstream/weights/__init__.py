"""Read weights safely, and say what of them fits a model."""
