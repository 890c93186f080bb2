"""Stopping at any time and going on to the same weights: docs/clusters.md.

``stopping`` turns signals into the end of a step, ``saving`` writes checkpoints, ``work_dir`` owns the folder and chooses what to
go on from, ``resuming`` puts a run back where it was, ``loops`` begins an epoch in its middle, and ``randomness`` makes every
iteration and image draw the same numbers wherever a run began.
"""
