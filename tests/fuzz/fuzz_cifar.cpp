// CIFAR-10's binary files.
#include "anther/data/vision/cifar10.hpp"
#include "memory_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const MemoryFile file(data, size);
  try {
    const anther::vision::Cifar10 images({file.path()}, size / anther::vision::Cifar10::record);
    for (std::int64_t i = 0; i < images.size(); ++i)
      if (images.label(i) > 9 || images.image(i).width != 32) std::abort();
  } catch (const anther::Error&) {
  }
  return 0;
}
