"""The one reader of pickles, torch files and NumPy archives from elsewhere: nothing in a file is executed.

No other module reads a pickle. torch is never imported here, and what reading costs is bounded by the size of the file.
Everything here raises :class:`~sgkit.errors.CheckpointError` for a file that is damaged, hostile or of another kind.
"""

from sgkit.unpickle.torch_files import load, load_tensors, loads
from sgkit.unpickle.torchscript import load_script_tensors

__all__ = ["load", "load_script_tensors", "load_tensors", "loads"]
