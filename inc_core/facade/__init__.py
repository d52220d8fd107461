"""The objects that scripts hold: setters only store, ``fit()`` resolves."""
