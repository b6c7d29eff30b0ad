"""What a matrix of expression holds, cell by cell, and on which scale: counts, logarithms, something else."""
