"""Work on ranges of indices that several processes share: encoding, sampling and evaluation."""
