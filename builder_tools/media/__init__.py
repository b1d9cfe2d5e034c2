"""Input and output of images, videos, cameras and windows: the only package that knows BGR.

All images passed in or out are `(H, W, 3)` uint8 RGB; times are in seconds from the start of the
source. Names are imported on first access, and PyAV when the first video is opened, so still
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
