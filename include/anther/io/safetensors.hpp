// safetensors files: named tensors and text, as PyTorch's users exchange them.
//
//   8 bytes N, little-endian | N bytes of JSON (safetensors_header.hpp) | the tensors' elements
//
// Can be used alone: needs core/ and nlohmann-json. A file is treated as hostile: everything is
// checked before memory is allocated for it. Where a file has checksums, whoever reads a whole
// tensor compares its bytes with its own.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/core/shape.hpp"
#include "anther/core/tensor.hpp"
#include "anther/io/atomic_file.hpp"
#include "anther/io/dtype.hpp"
#include "anther/io/file.hpp"
#include "anther/io/file_kind.hpp"
#include "anther/io/safetensors_checksum.hpp"
#include "anther/io/safetensors_header.hpp"

namespace anther::inline v0_1::io {

// A file that is open for reading. Any number of threads may read from it at once.
//
//   const SafetensorsFile file("weights/best.safetensors");
//   const Tensor<float> weight = file.read<float>("head.weight");
class SafetensorsFile {
 public:
  // Opens the file and checks its header. Throws Error, naming the file, if it is not a
  // well-formed safetensors file of exactly the length that its header says.
  explicit SafetensorsFile(const std::filesystem::path& path)
      : file_(File::open_for_reading(path)) {
    const std::int64_t size = file_.size();
    std::uint64_t length = 0;
    if (size >= 8) file_.read_at(0, &length, sizeof length);
    if (size < 8 || length == 0 ||
        length > static_cast<std::uint64_t>(std::min(max_safetensors_header, size - 8)))
      fail_as_another_kind(size, length);
    std::string json(static_cast<std::size_t>(length), '\0');
    data_begin_ = 8 + static_cast<std::int64_t>(length);
    file_.read_at(8, json.data(), data_begin_ - 8);
    header_ = parse_safetensors_header(json, size - data_begin_,
                                       path.string() + ": safetensors header: ");
    take_checksums(header_, path.string() + ": safetensors header: ");
    for (std::size_t i = 0; i < header_.entries.size(); ++i) index_[header_.entries[i].name] = i;
  }
  SafetensorsFile(SafetensorsFile&&) = default;
  SafetensorsFile& operator=(SafetensorsFile&&) = default;

  const std::filesystem::path& path() const { return file_.path(); }
  // All tensors, in the order of the file.
  const std::vector<SafetensorsEntry>& entries() const { return header_.entries; }
  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }

  // The tensor of this name; null if there is none.
  const SafetensorsEntry* find(std::string_view name) const {
    const auto found = index_.find(name);
    return found == index_.end() ? nullptr : &header_.entries[found->second];
  }
  // The same; throws if there is none.
  const SafetensorsEntry& entry(std::string_view name) const {
    const SafetensorsEntry* found = find(name);
    detail::check(found != nullptr, path().string(), ": expected a tensor ", in_quotes(name),
                  ", got none of that name among ", entries().size());
    return *found;
  }

  // A tensor's values as T: float, double, or any integer type. Converts; throws if a value does
  // not fit T (converted() in io/dtype.hpp).
  template <class T>
  Tensor<T> read(std::string_view name) const {
    const SafetensorsEntry& tensor = entry(name);
    Tensor<T> result(tensor.shape);
    read_into(tensor, result.span());
    return result;
  }

  // The same, into memory of as many elements as the shape has. `tensor` is one of entries().
  template <class T>
  void read_into(const SafetensorsEntry& tensor, std::span<T> into) const {
    static_assert(std::is_arithmetic_v<T> && !std::same_as<T, bool>);
    const std::int64_t count = tensor.shape.numel();
    detail::check(static_cast<std::int64_t>(into.size()) == count, path().string(), ": tensor ",
                  in_quotes(tensor.name), " has ", count, " elements, to be read into ",
                  into.size());
    if (tensor.dtype == dtype_of<T>()) {
      file_.read_at(data_begin_ + tensor.begin, into.data(), tensor.end - tensor.begin);
      check_bytes(tensor, tensor.crc32 ? crc32(into.data(), into.size_bytes()) : 0);
      return;
    }
    T* to = into.data();
    for_each_chunk<T>(tensor,
                      [&](std::span<const T> chunk) { to = std::ranges::copy(chunk, to).out; });
  }

  // The same without memory for the whole tensor: calls body(std::span<const T>) for one part after
  // another. That bytes are damaged is known, and thrown, after the last of them.
  template <class T, class Body>
  void for_each_chunk(const SafetensorsEntry& tensor, const Body& body) const {
    static_assert(std::is_arithmetic_v<T> && !std::same_as<T, bool>);
    constexpr std::int64_t most = 1 << 14;
    const std::int64_t size = size_of(tensor.dtype), count = tensor.shape.numel();
    const bool same = tensor.dtype == dtype_of<T>();
    const auto room = static_cast<std::size_t>(std::min(most, count));
    std::vector<T> values(room);
    std::vector<std::byte> bytes(same ? 0 : room * static_cast<std::size_t>(size));
    std::uint32_t checksum = 0;
    for (std::int64_t first = 0; first < count; first += most) {
      const std::int64_t n = std::min(most, count - first);
      void* const to = same ? static_cast<void*>(values.data()) : bytes.data();
      file_.read_at(data_begin_ + tensor.begin + first * size, to, n * size);
      if (tensor.crc32) checksum = crc32(to, static_cast<std::size_t>(n * size), checksum);
      if (!same) {
        try {
          decode(tensor.dtype, bytes.data(), n, values.data(), first);
        } catch (const Error& error) {
          detail::fail(path().string(), ": tensor ", in_quotes(tensor.name), ": ", error.what());
        }
      }
      body(std::span<const T>(values).first(static_cast<std::size_t>(n)));
    }
    check_bytes(tensor, checksum);
  }

  // Compares the bytes of all tensors with their checksums, where they have some. Throws, naming
  // the tensor, if they are not those that were written.
  void check_all_bytes() const {
    for (const SafetensorsEntry& tensor : entries()) {
      if (!tensor.crc32) continue;
      std::array<std::byte, 1 << 14> part;
      std::uint32_t checksum = 0;
      for (std::int64_t at = tensor.begin; at < tensor.end;) {
        const std::int64_t size = std::min<std::int64_t>(std::ssize(part), tensor.end - at);
        file_.read_at(data_begin_ + at, part.data(), size);
        checksum = io::crc32(part.data(), static_cast<std::size_t>(size), checksum);
        at += size;
      }
      check_bytes(tensor, checksum);
    }
  }

  // Gives each tensor the name that new_name(entry) returns; one that gets none is passed over from
  // now on. Throws if two get the same.
  template <class NewName>
  void rename(const NewName& new_name) {
    std::vector<SafetensorsEntry> kept;
    index_.clear();
    for (SafetensorsEntry& entry : header_.entries) {
      std::optional<std::string> name = new_name(std::as_const(entry));
      if (!name) continue;
      detail::check(index_.emplace(*name, kept.size()).second, path().string(),
                    ": two tensors named ", in_quotes(*name));
      entry.name = std::move(*name);
      kept.push_back(std::move(entry));
    }
    header_.entries = std::move(kept);
  }

 private:
  void check_bytes(const SafetensorsEntry& tensor, std::uint32_t checksum) const {
    detail::check(!tensor.crc32 || *tensor.crc32 == checksum, path().string(), ": tensor ",
                  in_quotes(tensor.name),
                  ": its numbers are not those that were written: the file is damaged, or another "
                  "program has changed it and kept the metadata \"",
                  checksum_key, "\"");
  }

  // Says what the file is, where its first bytes tell, and what to do.
  [[noreturn]] void fail_as_another_kind(std::int64_t size, std::uint64_t length) const {
    std::vector<std::uint8_t> first(static_cast<std::size_t>(std::min<std::int64_t>(size, 512)));
    file_.read_at(0, first.data(), std::ssize(first));
    const std::string_view kind = file_kind(first);
    detail::check(kind.empty(), path().string(), ": expected weights as a safetensors file, got ",
                  kind, weights_advice_for(kind));
    detail::check(size >= 8, path().string(), ": expected a safetensors file, got ", size,
                  " bytes");
    detail::fail(path().string(),
                 ": expected a safetensors file: the first 8 bytes give a header of ", length,
                 " bytes, the file has ", size, " (and a header at most ", max_safetensors_header,
                 ")");
  }

  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };

  File file_;
  std::int64_t data_begin_ = 0;
  SafetensorsHeader header_;
  std::unordered_map<std::string, std::size_t, Hash, std::equal_to<>> index_;
};

// A tensor to write. `values` is the caller's memory, and must last until it is written.
struct SafetensorsTensor {
  std::string name;
  Shape shape;
  std::variant<std::span<const float>, std::span<const double>, std::span<const std::int64_t>,
               std::span<const std::uint8_t>>
      values = {};
  std::optional<Dtype> dtype = {};  // in the file; empty: as the values are
};

struct WriteSafetensorsOptions {
  // Adds checksums to the metadata (safetensors_checksum.hpp).
  bool checksums = false;
  // Called when all of the new file is on the disk, just before it takes its name.
  std::function<void()> before_commit = {};
};

// Writes all tensors and the metadata to a file, atomically (io/atomic_file.hpp). The bytes depend
// on nothing else; they are those of safetensors' own writer, except for the order of the metadata.
// Throws Error, naming the file and the tensor, if a name occurs twice, a size does not match, or a
// finite value is too large for the dtype.
ANTHER_ONCE void write_safetensors(const std::filesystem::path& path,
                                   std::span<const SafetensorsTensor> tensors,
                                   std::map<std::string, std::string> metadata = {},
                                   const WriteSafetensorsOptions& options = {}) {
  const std::string file_name = path.string();
  const auto dtype = [](const SafetensorsTensor& tensor) {
    return tensor.dtype ? *tensor.dtype
                        : std::visit([]<class T>(std::span<const T>) { return dtype_of<T>(); },
                                     tensor.values);
  };
  const auto quoted = [&](const std::string& text) { return json_string(text, file_name + ": "); };

  // The longest elements come first, so that every tensor is aligned to its elements.
  std::vector<const SafetensorsTensor*> order;
  std::set<std::string_view> names{"__metadata__"};
  for (const SafetensorsTensor& tensor : tensors) {
    detail::check(names.insert(tensor.name).second, file_name, ": two tensors named ",
                  in_quotes(tensor.name));
    const auto size = std::visit([](auto values) { return values.size(); }, tensor.values);
    detail::check(static_cast<std::int64_t>(size) == tensor.shape.numel(), file_name, ": tensor ",
                  in_quotes(tensor.name), ": shape ", tensor.shape, " has ", tensor.shape.numel(),
                  " elements, got ", size);
    order.push_back(&tensor);
  }
  std::sort(order.begin(), order.end(), [&](const auto* a, const auto* b) {
    return dtype(*a) != dtype(*b) ? dtype(*a) > dtype(*b) : a->name < b->name;
  });

  // Calls body(bytes, count) for one part after another of a tensor as the file has it.
  std::vector<std::byte> bytes;
  const auto for_each_part = [&](const SafetensorsTensor& tensor, const auto& body) {
    constexpr std::int64_t chunk = 1 << 14;
    std::visit(
        [&]<class T>(std::span<const T> values) {
          const std::int64_t count = static_cast<std::int64_t>(values.size());
          const std::int64_t size = size_of(dtype(tensor));
          bytes.resize(static_cast<std::size_t>(std::min(chunk, count) * size));
          for (std::int64_t first = 0; first < count; first += chunk) {
            const std::int64_t n = std::min(chunk, count - first);
            try {
              encode(dtype(tensor), values.data() + first, n, bytes.data(), first);
            } catch (const Error& error) {
              detail::fail(file_name, ": tensor ", in_quotes(tensor.name), ": ", error.what());
            }
            body(bytes.data(), n * size);
          }
        },
        tensor.values);
  };
  if (options.checksums) {
    std::vector<SafetensorsEntry> entries;
    for (const SafetensorsTensor* tensor : order) {
      std::uint32_t checksum = 0;
      for_each_part(*tensor, [&](const std::byte* part, std::int64_t size) {
        checksum = crc32(part, static_cast<std::size_t>(size), checksum);
      });
      entries.push_back({.name = tensor->name,
                         .dtype = dtype(*tensor),
                         .shape = tensor->shape,
                         .crc32 = checksum});
    }
    metadata[checksum_key] = checksums_of(entries, metadata);
  }

  std::string json = "{";
  if (!metadata.empty()) {
    json += "\"__metadata__\":{";
    for (const auto& [key, text] : metadata)
      json += detail::text_of(json.back() == '{' ? "" : ",", quoted(key), ":", quoted(text));
    json += "}";
  }
  std::int64_t begin = 0;
  for (const SafetensorsTensor* tensor : order) {
    const std::int64_t end = begin + tensor->shape.numel() * size_of(dtype(*tensor));
    json += detail::text_of(json.back() == '{' ? "" : ",", quoted(tensor->name), ":{\"dtype\":\"",
                            dtype(*tensor), "\",\"shape\":[");
    for (int axis = 0; axis < tensor->shape.rank(); ++axis)
      json += detail::text_of(axis > 0 ? "," : "", tensor->shape[axis]);
    json += detail::text_of("],\"data_offsets\":[", begin, ",", end, "]}");
    begin = end;
  }
  json += "}";
  json.append((8 - json.size() % 8) % 8, ' ');
  const std::uint64_t length = json.size();
  detail::check(length <= static_cast<std::uint64_t>(max_safetensors_header), file_name,
                ": the header would have ", length, " bytes, expected at most ",
                max_safetensors_header);

  AtomicFile file(path);
  file.write(&length, sizeof length);
  file.write(json);
  for (const SafetensorsTensor* tensor : order)
    for_each_part(*tensor,
                  [&](const std::byte* part, std::int64_t size) { file.write(part, size); });
  file.commit(options.before_commit);
}

}  // namespace anther::inline v0_1::io
