// Checksums of a safetensors file, as an entry of its metadata that other readers pass over:
//
//   "crc32": "<what the header says><tensor><tensor>..."   each 8 hexadecimal digits
//
// The tensors' are in the order of their names. What the header says is: each tensor's name, type
// and shape, and the other metadata, in an order that no writer changes. So a copy made by another
// program is found whole, and one of which only the numbers were changed is not. Each is what
// zlib.crc32 gives. A prefix before all names, as wrappers of PyTorch put it there, is no damage.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/io/crc32.hpp"
#include "anther/io/safetensors_header.hpp"

namespace anther::inline v0_1::io {

inline constexpr const char checksum_key[] = "crc32";

ANTHER_ONCE std::string hexadecimal(std::uint32_t number) {
  std::string text(8, '0');
  for (auto digit = text.rbegin(); digit != text.rend(); ++digit, number >>= 4)
    *digit = "0123456789abcdef"[number & 15];
  return text;
}

// The value of the metadata entry, of tensors that have a checksum each.
ANTHER_ONCE std::string checksums_of(std::span<const SafetensorsEntry> tensors,
                                     const std::map<std::string, std::string>& metadata) {
  std::vector<const SafetensorsEntry*> order;
  for (const SafetensorsEntry& tensor : tensors) order.push_back(&tensor);
  std::ranges::sort(order, {}, &SafetensorsEntry::name);
  std::string digits, header;
  for (const SafetensorsEntry* tensor : order) {
    digits += hexadecimal(tensor->crc32.value_or(0));
    header += detail::text_of(tensor->name, '\0', tensor->dtype, tensor->shape, '\0');
  }
  for (const auto& [key, text] : metadata)
    if (key != checksum_key) header += detail::text_of(key, '\0', text, '\0');
  header += digits;
  return hexadecimal(crc32(header.data(), header.size())) + digits;
}

// Takes the checksums out of the metadata and gives each tensor its own. Throws, the message
// starting with `where`, if the header does not say what was written. A file without checksums is
// right.
ANTHER_ONCE void take_checksums(SafetensorsHeader& header, const std::string& where) {
  const auto found = header.metadata.find(checksum_key);
  if (found == header.metadata.end()) return;
  const std::string written = found->second;
  header.metadata.erase(found);
  const auto number = [&](std::size_t i) {
    std::uint32_t value = 0;
    for (const char c : std::string_view(written).substr(8 * i, 8)) {
      const bool letter = c >= 'a' && c <= 'f';
      detail::check(letter || (c >= '0' && c <= '9'), where, "the checksums are damaged");
      value = value << 4 | static_cast<std::uint32_t>(letter ? c - 'a' + 10 : c - '0');
    }
    return value;
  };
  std::vector<SafetensorsEntry*> order;
  for (SafetensorsEntry& tensor : header.entries) order.push_back(&tensor);
  std::ranges::sort(order, {}, &SafetensorsEntry::name);
  const bool fits = written.size() == 8 * (order.size() + 1);
  for (std::size_t i = 0; fits && i < order.size(); ++i) order[i]->crc32 = number(i + 1);
  // PyTorch's wrappers put a prefix ("module.") before all names, and who saves them may have kept
  // the metadata: the names that were written are those without it, in the same order.
  const auto right_without = [&](std::size_t prefix) {
    std::vector<SafetensorsEntry> named = header.entries;
    for (SafetensorsEntry& tensor : named) tensor.name.erase(0, prefix);
    return checksums_of(named, header.metadata) == written;
  };
  bool right = fits && right_without(0);
  if (fits && !right && !order.empty()) {
    const std::string &first = order.front()->name, &last = order.back()->name;
    for (std::size_t i = 0; !right && i < first.size() && i < last.size(); ++i) {
      if (first[i] != last[i]) break;
      if (first[i] == '.') right = right_without(i + 1);
    }
  }
  detail::check(right, where,
                "names, shapes or metadata are not those that were written: the file is damaged, "
                "or another program has changed it and kept the metadata \"",
                checksum_key, "\"");
}

}  // namespace anther::inline v0_1::io
