"""Read weights safely."""
