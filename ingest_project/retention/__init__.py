"""What is kept and for how long: parts, history, rejects and batches of activations that have ended."""
