"""What builds the stand-in."""
