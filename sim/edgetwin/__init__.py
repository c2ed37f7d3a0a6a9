"""edgetwin: what happens to K3s edge sites while they are cut off from their cloud."""

__version__ = "0.1.0"
