"""A dry run: forecast, pilot, weaknesses."""
