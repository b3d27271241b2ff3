"""Convert tensors to pictures: pixels, grids and sheets, files, sizes."""
