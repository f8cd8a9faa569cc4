"""Scripts that a test runs in processes of their own."""
