"""Codec + Transport → RaftNetwork: frames, the hello, calls and their deadlines; written once for all of them."""
