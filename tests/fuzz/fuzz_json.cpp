// What configuration and checkpoints hold as JSON: a model's options, how images are prepared, how
// far a run is.
#include <string>

#include "anther/data/vision/preprocess_json.hpp"
#include "anther/models/edgevit/edgevit.hpp"
#include "anther/models/registry.hpp"
#include "anther/train/checkpoint_callback.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto json = nlohmann::json::parse(data, data + size, nullptr, false);
  if (json.is_discarded()) return 0;
  const auto may_throw = [&](const auto& read) {
    try {
      read();
    } catch (const anther::Error&) {
    }
  };
  may_throw([&] { anther::options_from_json<anther::EdgeViTOptions>(json); });
  may_throw([&] { anther::vision::preprocess_from_json(json); });
  may_throw([&] { anther::fit_progress_from_json(json); });
  return 0;
}
