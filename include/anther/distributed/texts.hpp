// What the ranks of a group tell each other in one call: texts, and whether all have the same.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "anther/distributed/process_group.hpp"

namespace anther::inline v0_1 {

// Every rank gets a text, or any bytes, of each rank.
inline std::vector<std::string> all_gather(ProcessGroup& group, std::string_view own) {
  const auto ranks = static_cast<std::size_t>(group.size());
  const auto rank = static_cast<std::size_t>(group.rank());
  std::vector<std::int64_t> sizes(ranks), each(ranks, sizeof(std::int64_t));
  sizes[rank] = std::ssize(own);
  group.all_gather(bytes_of(std::span(sizes)), each);
  std::string all;
  std::size_t before = 0;
  for (std::size_t r = 0; r < ranks; ++r) {
    if (r == rank) before = all.size();
    all.resize(all.size() + static_cast<std::size_t>(sizes[r]));
  }
  std::copy(own.begin(), own.end(), all.begin() + static_cast<std::ptrdiff_t>(before));
  group.all_gather(bytes_of(std::span(all)), sizes);
  std::vector<std::string> texts;
  std::size_t at = 0;
  for (const std::int64_t size : sizes) {
    texts.push_back(all.substr(at, static_cast<std::size_t>(size)));
    at += static_cast<std::size_t>(size);
  }
  return texts;
}

// Rank 0 gets a text of each rank, in their order; the others get none.
inline std::vector<std::string> gather(ProcessGroup& group, std::string_view own) {
  const auto ranks = static_cast<std::size_t>(group.size());
  const bool first = group.rank() == 0;
  std::vector<std::int64_t> to_first(ranks), from_all(ranks);
  const std::int64_t own_size = std::ssize(own);
  std::vector<std::int64_t> sizes(ranks);
  to_first[0] = sizeof own_size;
  if (first) from_all.assign(ranks, sizeof own_size);
  group.all_to_all(std::as_bytes(std::span(&own_size, 1)), to_first,
                   first ? bytes_of(std::span(sizes)) : std::span<std::byte>(), from_all);
  to_first[0] = own_size;
  from_all = sizes;
  std::int64_t total = 0;
  for (const std::int64_t size : sizes) total += size;
  std::string all(static_cast<std::size_t>(total), '\0');
  group.all_to_all(std::as_bytes(std::span(own)), to_first, bytes_of(std::span(all)), from_all);
  std::vector<std::string> texts;
  std::size_t at = 0;
  for (std::size_t r = 0; first && r < ranks; ++r) {
    texts.push_back(all.substr(at, static_cast<std::size_t>(sizes[r])));
    at += static_cast<std::size_t>(sizes[r]);
  }
  return texts;
}

// Rank 0's text.
inline std::string broadcast(ProcessGroup& group, std::string text) {
  text.resize(from_first(group, text.size()));
  group.broadcast(bytes_of(std::span(text)));
  return text;
}

// What must be the same on every rank, by what it is called in messages.
using Facts = std::vector<std::pair<std::string, std::string>>;

// Throws on every rank, and names each rank that has something else than rank 0, and what.
inline void check_same(ProcessGroup& group, const Facts& own) {
  const auto shortened = [](const std::string& text) {
    return text.size() > 300 ? text.substr(0, 300) + "..." : text;
  };
  std::string differences;
  const std::vector<std::string> hosts = all_gather(group, group.host());
  for (const auto& [name, value] : own) {
    const std::vector<std::string> values = all_gather(group, value);
    for (std::size_t r = 1; r < values.size(); ++r)
      if (values[r] != values[0])
        differences += detail::text_of(differences.empty() ? "" : "; ",
                                       rank_text(static_cast<int>(r), hosts[r]), ": ", name, ": ",
                                       shortened(values[r]), ", not ", shortened(values[0]));
  }
  if (!differences.empty())
    throw CollectiveError("expected all ranks to have what rank 0 on host " + hosts[0] +
                          " has, but " + differences);
}

}  // namespace anther::inline v0_1
