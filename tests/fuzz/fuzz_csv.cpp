// Tables as text.
#include "anther/io/csv.hpp"
#include "memory_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const MemoryFile file(data, size);
  for (const bool foreign : {false, true}) {
    try {
      const anther::io::CsvTable table = anther::io::read_csv(file.path(), {.foreign = foreign});
      for (const std::string& name : table.columns)
        if (table.column(name).size() != table.rows.size()) std::abort();
    } catch (const anther::Error&) {
    }
  }
  try {
    anther::io::read_lines(file.path());
  } catch (const anther::Error&) {
  }
  return 0;
}
