"""Time series for forecasting: files or a generator in, windows of past and future out."""
