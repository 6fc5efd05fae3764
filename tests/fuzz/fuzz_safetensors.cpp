// safetensors files: the header, all tensors as float and as integers, what a card and a state say.
#include "anther/io/safetensors.hpp"
#include "anther/train/checkpoint.hpp"
#include "anther/train/model_card.hpp"
#include "memory_file.hpp"

namespace {

// Each of them may throw.
template <class Read>
void may_throw(const Read& read) {
  try {
    read();
  } catch (const anther::Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const MemoryFile file(data, size);
  may_throw([&] {
    const anther::io::SafetensorsFile opened(file.path());
    may_throw([&] { anther::model_card_of(opened); });
    may_throw([&] {
      const anther::SavedProgress saved = anther::progress_of(opened);
      const nlohmann::json copy = saved.progress;
      if (copy.dump().empty()) std::abort();
    });
    may_throw([&] { opened.check_all_bytes(); });
    for (const anther::io::SafetensorsEntry& entry : opened.entries()) {
      may_throw([&] { opened.read<float>(entry.name); });
      may_throw([&] { opened.read<std::int32_t>(entry.name); });
    }
  });
  return 0;
}
