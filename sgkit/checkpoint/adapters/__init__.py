"""Checkpoints of other projects as tables: which of their tensors is which of sgkit's, and how it is stored.

A file passes three stages. :mod:`sgkit.checkpoint.foreign` reads it, executes nothing, and describes what it holds as a
:class:`~sgkit.checkpoint.foreign_file.ForeignFile`: networks with names, options and tensors. The translator
(:mod:`.translate`) turns the tensors of each network into sgkit's by a table. :mod:`.formats` assembles the model.

To add a format:

1. Let the file be recognised. For a pickle, give its objects names in :mod:`sgkit.unpickle.allowed` and a description
   in ``foreign.py``. For a state dict, add a :class:`~sgkit.checkpoint.state_dicts.Dialect`: the tensors that only this
   project's networks have. If only names differ from a known format, give it a function that renames them: done.
2. Write a module here with a :class:`~.translate.Format`:

   - ``config``: the :class:`~sgkit.config.ModelConfig` of a file, from its options or shapes. Helpers that check both
     are in :mod:`.reading`. Refuse every option whose arithmetic sgkit does not have.
   - ``generator`` and ``discriminator``: the tables. Go over the plan of the configuration, and for each layer give its
     rows: sgkit's prefix, theirs, and the names after them, with a :class:`~.translate.Transform` where a tensor is
     stored in another layout. A transform with ``write`` lets models be exported in the format, too.
   - ``implied``: tensors that follow from the configuration, such as filters; they are compared, not read.

3. Name it in :data:`.formats.FORMATS`, and put a small checkpoint with the official outputs into ``tests/fixtures``;
   ``python tests/parity/check.py`` compares every layer.
"""

from sgkit.checkpoint.adapters.formats import model_from, model_of

__all__ = ["model_from", "model_of"]
