"""Codec + Transport → RaftNetwork: frames, the hello, calls and their deadlines. Written once for all codecs and transports."""
