"""Ways from affinities to a segmentation that `benchmarks.segmentation` compares: one a file."""
