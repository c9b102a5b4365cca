"""The REST routes: read bytes and options, run, write the answer."""
