"""The network: a ViT carried from 2D to 3D, its full-resolution path, its weights."""
