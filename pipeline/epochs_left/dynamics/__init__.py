"""Pure maths of training: criteria, distances, closed forms."""
