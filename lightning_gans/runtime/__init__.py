"""What every process needs: seeds, collectives, devices, atomic files. Imports nothing of this package."""
