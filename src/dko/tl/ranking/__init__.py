"""Steps of :func:`dko.tl.rank_genes` and :func:`dko.tl.affected_genes`."""
