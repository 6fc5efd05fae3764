// Writes an event file for TensorBoard with known values: what read_events.py expects.
//
//   write_events FOLDER
#include <cstdio>
#include <exception>

#include "anther/data/vision/png.hpp"
#include "anther/io/tensorboard.hpp"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  try {
    anther::io::EventWriter events(argv[1]);
    for (int step = 1; step <= 300; ++step)
      events.scalars(step, {{"train/loss", 1.0 / step}, {"lr", 1e-3}});
    anther::vision::Image image(5, 3);
    for (std::size_t i = 0; i < image.pixels.size(); ++i)
      image.pixels[i] = static_cast<std::uint8_t>(5 * i);
    events.image(100, "train/batch", 5, 3, anther::vision::encode_png(image));
    events.text(0, "arguments", "{\"lr\": 0.001}");
    // Goes on after step 200: what the first file has after it is dropped.
    anther::io::EventWriter resumed(argv[1], {.first_step = 201});
    resumed.scalars(201, {{"train/loss", -1.0}});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "write_events: %s\n", error.what());
    return 1;
  }
}
