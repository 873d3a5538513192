"""What a program needs of the machine: devices, precision, seeds, processes, files and progress."""
