"""Masking, which is for the side that dials: by the `websockets` library's C, or its Python where there is no C."""

try:
    from websockets.speedups import apply_mask
except ImportError:
    from websockets.utils import apply_mask

__all__ = ["apply_mask"]
