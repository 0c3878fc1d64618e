"""What a training step asks of the network, one way a file."""
