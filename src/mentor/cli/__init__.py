"""The command ``mentor``: options made from the settings classes, output, errors in one line."""
