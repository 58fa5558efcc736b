"""The catalogue of models: ids, prices, limits, quotas."""
