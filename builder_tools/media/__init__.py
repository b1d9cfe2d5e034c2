"""Pixels in and out: images, videos, cameras, windows. The only package that knows BGR.

Everything that leaves or enters is `(H, W, 3)` uint8 RGB; times are seconds from the start of the
source. Names are imported when they are first asked for, PyAV when the first video is opened: still
images never pay for either.
"""

from builder_tools.lazy import lazy_names

_PLACES = {
    "IMAGE_ERRORS": "images",
    "IMAGE_SUFFIXES": "formats",
    "WRITTEN_SUFFIXES": "formats",
    "CameraReader": "camera",
    "FoundImages": "listing",
    "Frame": "frame",
    "ImageError": "limits",
    "ImageLimits": "limits",
    "VideoReader": "video",
    "VideoWriter": "video_writer",
    "Window": "window",
    "find_images": "listing",
    "list_images": "listing",
    "open_image": "images",
    "read_image": "images",
    "replacing": "partial",
    "resize_faces": "resizing",
    "resize_square": "resizing",
    "resize_stack": "resizing",
    "write_image": "images",
}
__all__ = list(_PLACES)
__getattr__, __dir__ = lazy_names(__name__, _PLACES)
