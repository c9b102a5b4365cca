"""The pictures of the models: the card of each folder, and the figures of the reproduction."""
