"""Share trained generators: one format of a folder for the wheel's weights, ``save_pretrained`` and the hub."""
