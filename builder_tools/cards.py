"""Model cards: what a saved model is, what it expects, what it was measured to do.

A model folder `saved_models/<name>/` holds the deployable file and `card.json`. The card is the
single source of the model's class order, input size and file hashes.
"""
