"""Parse, make one call, print. No effects here, and errors become words in one place: `opentr.cli.main`."""
