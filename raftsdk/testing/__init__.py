"""The kit for whoever writes a codec, a transport, a network or a store. Imports no pytest."""
