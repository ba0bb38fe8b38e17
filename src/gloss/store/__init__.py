"""Where records rest: the corpus, the activations, results in Parquet parts, and the manifests that
make a run resumable.
"""
