#!/usr/bin/env python3
"""Has TensorBoard's own reader read an event file that Anther wrote.

    read_events.py WRITE_EVENTS        the program of write_events.cpp

Needs the package tensorboard (pip install tensorboard); without it, says so and is skipped.
"""
import struct
import subprocess
import sys
import tempfile

try:
    from tensorboard.backend.event_processing import event_accumulator
    from tensorboard.util import tensor_util
except ImportError as e:
    print(f"skipped: {sys.executable}: {e} (pip install tensorboard)")
    sys.exit(77)


def main():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.argv[1], folder], check=True)
        events = event_accumulator.EventAccumulator(
            folder, size_guidance={"scalars": 0, "images": 0, "tensors": 0})
        events.Reload()
    tags = events.Tags()
    assert sorted(tags["scalars"]) == ["lr", "train/loss"], tags
    assert tags["images"] == ["train/batch"], tags
    assert tags["tensors"] == ["arguments"], tags

    loss = [(e.step, e.value) for e in events.Scalars("train/loss")]
    float32 = [(n, struct.unpack("f", struct.pack("f", 1 / n))[0]) for n in range(1, 201)]
    assert loss == float32 + [(201, -1.0)], loss[:3] + loss[-3:]
    assert len(events.Scalars("lr")) == 200
    assert events.Scalars("lr")[0].wall_time > 1.6e9

    (image,) = events.Images("train/batch")
    assert (image.step, image.width, image.height) == (100, 5, 3), image
    assert image.encoded_image_string.startswith(b"\x89PNG"), image
    text = tensor_util.make_ndarray(events.Tensors("arguments")[0].tensor_proto)
    assert text.shape == (1,) and text[0] == b'{"lr": 0.001}', text
    assert events.SummaryMetadata("arguments").plugin_data.plugin_name == "text"
    print(f"TensorBoard read {len(loss)} steps, an image and text")


if __name__ == "__main__":
    main()
