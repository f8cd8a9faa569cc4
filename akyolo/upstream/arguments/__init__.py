"""Check and complete the arguments of a training or an evaluation."""
