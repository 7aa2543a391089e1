"""Metrics of the tasks.

They are `torchmetrics.Metric`s, which sum over batches and processes. Those of torchmetrics itself are not used where
the field's definition differs: masked steps, entities as spans, float64 sums, and bootstrap weights of whole sequences.
"""
