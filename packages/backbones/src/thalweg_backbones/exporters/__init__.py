"""Writers of networks for other programs, one target a file."""
