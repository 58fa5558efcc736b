"""What the steps cost (`python -m benchmarks`), and what a run of any size takes (`python -m benchmarks.scaling`)."""
