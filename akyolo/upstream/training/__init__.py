"""Train: the trainers of Ultralytics and what ours add to them."""
