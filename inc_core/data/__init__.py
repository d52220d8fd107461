"""Data in numpy: loaders, batches of any foreign loader, datasets, transforms, identity."""
