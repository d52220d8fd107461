"""The kernel table, and the operators that own kernels bring to torch."""
