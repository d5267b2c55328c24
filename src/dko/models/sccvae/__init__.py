"""Model 2, of perturbed cells: SCCVAE, a causal variational autoencoder (bioRxiv 2025.06.05.657988); tensors only."""
