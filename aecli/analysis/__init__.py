"""What a trained autoencoder is for: one module a use, each held against the classical answer."""
