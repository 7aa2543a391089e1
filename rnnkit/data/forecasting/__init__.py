"""Time series for forecasting, as windows of past and future."""
