"""What a trained autoencoder is good for: one module per use, each compared with the classical
method."""
