"""Between AnnData and the models: reading cells, names, groups and fitted models; writing results."""
