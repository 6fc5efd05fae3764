// What a file is that is not what was asked for, by its first bytes: a pointer of Git LFS, a web
// page, another program's weights. For messages that say so, and what to do.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "anther/core/once.hpp"

namespace anther::inline v0_1::io {

// A phrase for people ("a Git LFS pointer"); "" where the bytes tell nothing.
ANTHER_ONCE std::string_view file_kind(std::span<const std::uint8_t> bytes) {
  using namespace std::string_view_literals;
  if (bytes.empty()) return "an empty file";
  if (bytes.size() >= 8 &&
      std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t byte) { return byte == 0; }))
    return "a file of zeros";
  // Text may have a byte order mark and white space ahead.
  std::size_t skip = bytes.size() >= 3 && bytes[0] == 0xEF && bytes[1] == 0xBB && bytes[2] == 0xBF
                         ? std::size_t{3}
                         : std::size_t{0};
  const auto is_space = [&](std::size_t at) {
    return bytes[at] == ' ' || (bytes[at] >= '\t' && bytes[at] <= '\r');
  };
  while (skip < bytes.size() && skip < 256 && is_space(skip)) ++skip;
  const auto has = [&](std::string_view text, std::size_t at, bool any_case = false) {
    if (at + text.size() > bytes.size()) return false;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const auto want = static_cast<std::uint8_t>(text[i]);
      std::uint8_t got = bytes[at + i];
      if (any_case && got >= 'A' && got <= 'Z') got = static_cast<std::uint8_t>(got - 'A' + 'a');
      if (got != want) return false;
    }
    return true;
  };
  const auto is = [&](std::string_view text) { return has(text, 0); };
  const auto begins = [&](std::string_view text) { return has(text, skip, true); };

  if (begins("version https://git-lfs.github.com/"sv) ||
      begins("version https://hawser.github.com"sv))
    return "a Git LFS pointer";
  if (begins("<!doctype html"sv) || begins("<html"sv) || begins("<head"sv) || begins("<body"sv))
    return "an HTML page";
  if (is("\xFF\xD8\xFF"sv) || is("\x89PNG\r\n"sv)) return "a picture";
  if (begins("<svg"sv)) return "an SVG drawing";
  if (begins("<?xml"sv) || begins("<error"sv)) return "an XML file";
  if (is("PK\3\4"sv) || is("PK\5\6"sv)) return "a zip archive";
  if (bytes.size() >= 2 && bytes[0] == 0x80 && bytes[1] >= 2 && bytes[1] <= 5)
    return "a Python pickle";
  if (is("GGUF"sv) || is("lmgg"sv) || is("tjgg"sv)) return "a GGUF or GGML file";
  if (is("\x89HDF\r\n\x1A\n"sv)) return "an HDF5 file";
  if (is("\x93NUMPY"sv)) return "a NumPy array";
  if (has("TFL3"sv, 4)) return "a TensorFlow Lite model";
  if (is("\x1F\x8B"sv)) return "a gzip file";
  if (is("BZh"sv)) return "a bzip2 file";
  if (is("\xFD"
         "7zXZ"sv))
    return "an xz file";
  if (is("7z\xBC\xAF\x27\x1C"sv)) return "a 7z archive";
  if (is("\x28\xB5\x2F\xFD"sv)) return "a zstd file";
  if (is("Rar!"sv)) return "a RAR archive";
  if (has("ustar"sv, 257)) return "a tar archive";
  if (is("%PDF-"sv)) return "a PDF document";
  if (is("\0\5\x16\7"sv) || is("\0\5\x16\0"sv)) return "a companion file of macOS (AppleDouble)";
  if (is("\x7F"
         "ELF"sv) ||
      is("MZ"sv))
    return "a program";
  // ONNX has no signature: its first field is the version, its second the producer's name or so.
  if (bytes.size() >= 4 && bytes[0] == 8 && bytes[1] >= 1 && bytes[1] <= 30 &&
      (bytes[2] == 0x12 || bytes[2] == 0x1A || bytes[2] == 0x3A || bytes[2] == 0x42))
    return "an ONNX model";
  // The rest of a failed download, or a list: text of some length.
  const std::size_t looked_at = std::min<std::size_t>(bytes.size(), 64);
  const bool text =
      looked_at >= 8 &&
      std::all_of(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(looked_at),
                  [](std::uint8_t c) { return c >= 0x20 ? c < 0x7F : (c >= '\t' && c <= '\r'); });
  if (!text) return "";
  return begins("{"sv) || begins("["sv) ? "a JSON file" : "a text file";
}

// What to do about it: a text to follow the kind, or "".
ANTHER_ONCE std::string_view advice_for(std::string_view kind) {
  constexpr std::string_view again =
      ": a download or a copy that broke off, or a disk that was full, leaves such; fetch it again";
  constexpr std::array<std::array<std::string_view, 2>, 6> advice = {{
      {"an empty file", again},
      {"a file of zeros", again},
      {"a Git LFS pointer",
       ", which stands for the file itself: run `git lfs install` and `git lfs pull` in its "
       "repository, or download the file from its page"},
      {"an HTML page",
       ": the download failed, or was of the page about the file; open it in a browser, and "
       "download the file itself"},
      {"an XML file", ": the download may have failed; look what it says"},
      {"a text file", ": the download may have failed; look what it says"},
  }};
  for (const auto& [name, text] : advice)
    if (name == kind) return text;
  return "";
}

// The same where weights were wanted.
ANTHER_ONCE std::string_view weights_advice_for(std::string_view kind) {
  if (kind == "a zip archive" || kind == "a Python pickle" || kind == "a tar archive")
    return ", as PyTorch's .pth, .pt, .bin and .ckpt files are. If it is one, convert it: python3 "
           "examples/convert_pth.py FILE OUT.safetensors (PyTorch itself can: "
           "safetensors.torch.save_file)";
  if (kind == "an HDF5 file") return ", as Keras's .h5 files are; save its weights as safetensors";
  if (kind == "a JSON file")
    return "; where it is an index (model.safetensors.index.json), the weights are in the files "
           "that it lists";
  if (kind == "an ONNX model" || kind == "a GGUF or GGML file" || kind == "a TensorFlow Lite model")
    return ", made for another program; take the weights that it was made from, as safetensors";
  return advice_for(kind);
}

}  // namespace anther::inline v0_1::io
