"""inc-torch: PyTorch behind inc's adaptor contract. Nothing here imports torch until it is used."""
