"""The public names for type checkers, which do not follow lazily loaded names."""

from builder_tools.media.camera import CameraReader as CameraReader
from builder_tools.media.formats import IMAGE_SUFFIXES as IMAGE_SUFFIXES
from builder_tools.media.formats import WRITTEN_SUFFIXES as WRITTEN_SUFFIXES
from builder_tools.media.frame import Frame as Frame
from builder_tools.media.images import IMAGE_ERRORS as IMAGE_ERRORS
from builder_tools.media.images import open_image as open_image
from builder_tools.media.images import read_image as read_image
from builder_tools.media.images import write_image as write_image
from builder_tools.media.limits import ImageError as ImageError
from builder_tools.media.limits import ImageLimits as ImageLimits
from builder_tools.media.listing import FoundImages as FoundImages
from builder_tools.media.listing import find_images as find_images
from builder_tools.media.listing import list_images as list_images
from builder_tools.media.partial import replacing as replacing
from builder_tools.media.resizing import resize_faces as resize_faces
from builder_tools.media.resizing import resize_square as resize_square
from builder_tools.media.resizing import resize_stack as resize_stack
from builder_tools.media.video import VideoReader as VideoReader
from builder_tools.media.video_writer import VideoWriter as VideoWriter
from builder_tools.media.window import Window as Window
