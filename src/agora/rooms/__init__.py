"""The ten rooms. A room never imports another room; what passes between them is a record of :mod:`agora.core`."""
