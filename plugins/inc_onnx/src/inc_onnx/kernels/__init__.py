"""Which quantized forms of which ops this plugin can write, and how: the kernel table."""
