// IDX files, as images and as labels.
#include "anther/data/vision/idx.hpp"
#include "memory_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const MemoryFile file(data, size);
  for (const int rank : {1, 2, 3, 6}) try {
      const anther::vision::IdxArray array = anther::vision::read_idx(file.path(), rank);
      if (array.data() + array.shape.numel() != array.file.data() + array.file.size()) std::abort();
    } catch (const anther::Error&) {
    }
  return 0;
}
