"""The only room that awaits on behalf of the core: it carries out what a `Ready` asks for."""
