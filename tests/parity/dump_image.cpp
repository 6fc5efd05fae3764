// Decodes image files for compare_pillow.py: reads a path a line, and answers each with a line of
// JSON, {"width": .., "height": ..} followed by the pixels, or {"error": ".."}.
//
//   dump_image --decoder        prints which decoders this build has
#include <cstdio>
#include <exception>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "anther/data/vision/decode.hpp"

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "--decoder") {
    std::printf("%s\n", std::string(anther::vision::decoder_name()).c_str());
    return 0;
  }
  for (std::string path; std::getline(std::cin, path);) {
    anther::vision::Image image;
    nlohmann::json answer;
    try {
      image = anther::vision::decode_image(path);
      answer = {{"width", image.width}, {"height", image.height}};
    } catch (const std::exception& error) {
      answer = {{"error", error.what()}};
    }
    using Handler = nlohmann::json::error_handler_t;
    std::cout << answer.dump(-1, ' ', false, Handler::replace) << '\n';
    std::cout.write(reinterpret_cast<const char*>(image.pixels.data()),
                    static_cast<std::streamsize>(image.pixels.size()));
    std::cout.flush();
  }
}
