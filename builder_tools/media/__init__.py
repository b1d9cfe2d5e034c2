"""Pixels in and out: images, videos, cameras, windows. The only package that knows BGR.

Everything that leaves or enters is `(H, W, 3)` uint8 RGB; times are seconds from the start of the
source. PyAV is imported when the first video is opened, so still images never pay for it.
"""

from builder_tools.media.camera import CameraReader
from builder_tools.media.formats import IMAGE_SUFFIXES, WRITTEN_SUFFIXES
from builder_tools.media.frame import Frame
from builder_tools.media.images import IMAGE_ERRORS, open_image, read_image, write_image
from builder_tools.media.limits import ImageError, ImageLimits
from builder_tools.media.listing import FoundImages, find_images, list_images
from builder_tools.media.partial import replacing
from builder_tools.media.resizing import resize_faces, resize_square, resize_stack
from builder_tools.media.video import VideoReader
from builder_tools.media.video_writer import VideoWriter
from builder_tools.media.window import Window

__all__ = [
    "IMAGE_ERRORS",
    "IMAGE_SUFFIXES",
    "WRITTEN_SUFFIXES",
    "CameraReader",
    "FoundImages",
    "Frame",
    "ImageError",
    "ImageLimits",
    "VideoReader",
    "VideoWriter",
    "Window",
    "find_images",
    "list_images",
    "open_image",
    "read_image",
    "replacing",
    "resize_faces",
    "resize_square",
    "resize_stack",
    "write_image",
]
