"""The webcam by Gradio's own streaming, to be measured beside ours by `benchmarks/web.py`.

python benchmarks/web_stream.py PORT
"""

import sys
import threading

import gradio as gr

from builder_tools import Inference


def main() -> None:
    """Serve a page with one streaming image in and one image out."""
    inference, lock = Inference(show_state_mode="none"), threading.Lock()

    def draw(image):
        if image is None:
            return None
        with lock:
            return inference.run(image).image

    with gr.Blocks(analytics_enabled=False) as blocks:
        camera = gr.Image(
            sources=["webcam"],
            streaming=True,
            elem_id="camera",
            webcam_options=gr.WebcamOptions(constraints={"video": {"width": 640, "height": 480}}),
        )
        shown = gr.Image(elem_id="shown")
        camera.stream(
            draw,
            camera,
            shown,
            stream_every=0.03,
            concurrency_limit=2,
            show_progress="hidden",
            time_limit=None,
        )
    blocks.launch(server_port=int(sys.argv[1]), quiet=True, ssr_mode=False)


if __name__ == "__main__":
    main()
