"""Trains, exports and scores every model that `service` runs.

Tensors carry their shape in their name: B images, C channels, H height, W width, D latents,
N images of a whole set, P pixels of a patch. Images are uint8 [N,H,W,C] outside a network and
float32 [B,C,H,W] in [0, 1] inside it.
"""
