"""What several tests share: contracts, tiny models and data sets, records without a training."""
