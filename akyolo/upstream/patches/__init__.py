"""Replace names of Ultralytics and PyTorch, each once, delegating to the original."""
