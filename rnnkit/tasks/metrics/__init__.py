"""MetricsOfWeights by which tasks are judged."""
