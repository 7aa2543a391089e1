"""The private names of torch, Lightning and Hydra that rnnkit uses; no other file of rnnkit has any.

Importing this package imports none of the three. Names are looked up when they are imported from
`rnnkit.compat.torch`, `rnnkit.compat.lightning` or `rnnkit.compat.hydra`.
"""
