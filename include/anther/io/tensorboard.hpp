// TensorBoard's event files: scalars, images and text, which `tensorboard --logdir FOLDER` shows.
//
// A file is a row of records (TFRecord): the length (8 bytes), its masked CRC-32C, the data, its
// masked CRC-32C, all little-endian. The data of each is a protocol-buffer message,
// tensorflow.Event; the numbers of its fields here are those of
// tensorboard/compat/proto/{event,summary}.proto.
#pragma once

#include <unistd.h>

#include <array>
#include <bit>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/io/file.hpp"
#include "anther/io/protobuf.hpp"

namespace anther::inline v0_1::io {

// CRC-32C (Castagnoli; RFC 3720, section 12.1), a table look-up a byte.
ANTHER_ONCE std::uint32_t crc32c(std::string_view bytes) {
  static constexpr auto table = [] {
    std::array<std::uint32_t, 256> entries{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t c = i;
      for (int bit = 0; bit < 8; ++bit) c = (c & 1) ? 0x82F63B78u ^ (c >> 1) : c >> 1;
      entries[i] = c;
    }
    return entries;
  }();
  std::uint32_t crc = 0xFFFFFFFFu;
  for (const char byte : bytes)
    crc = table[(crc ^ static_cast<std::uint8_t>(byte)) & 255] ^ (crc >> 8);
  return ~crc;
}

// The bytes of a number, the least significant first.
template <class Number>
std::string little_endian(Number number) {
  std::string bytes;
  for (std::size_t i = 0; i < sizeof(Number); ++i)
    bytes += static_cast<char>(static_cast<std::uint8_t>(number >> (8 * i)));
  return bytes;
}

// Data as a record of TFRecord. Its checksums are masked: turned by 15 bits, plus a constant.
ANTHER_ONCE std::string tf_record(std::string_view data) {
  const auto masked = [](std::string_view bytes) {
    return little_endian(std::rotr(crc32c(bytes), 15) + 0xA282EAD8u);
  };
  const std::string length = little_endian(static_cast<std::uint64_t>(data.size()));
  return length + masked(length) + std::string(data) + masked(data);
}

struct EventWriterOptions {
  // For a run that goes on: what earlier files of the folder have from this step on is not shown.
  std::int64_t first_step = 0;
};

// Writes an event file of its own in a folder; each call's record is in the file when it returns.
//
//   EventWriter events("runs/1");
//   events.scalars(step, {{"train/loss", loss}, {"lr", lr}});
class EventWriter {
 public:
  // Throws, naming the file and the reason, if it cannot be written; so do the others.
  explicit EventWriter(const std::filesystem::path& folder,
                       const EventWriterOptions& options = {}) {
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    detail::check(!error, folder.string(), ": cannot create: ", error.message());
    file_ = File::open_for_appending(name_in(folder));
    write(event(0).text(file_version, "brain.Event:2"));
    if (options.first_step > 0)
      write(event(options.first_step)
                .message(session_log, ProtobufMessage().integer(1, 1)));  // START
  }

  const std::filesystem::path& path() const { return file_.path(); }

  using Scalar = std::pair<std::string_view, double>;  // a tag and its value
  void scalars(std::int64_t step, std::initializer_list<Scalar> values) {
    scalars(step, std::span(values.begin(), values.size()));
  }
  void scalars(std::int64_t step, std::span<const Scalar> values) {
    ProtobufMessage all;
    for (const auto& [tag, value] : values)
      all.message(1, ProtobufMessage().text(1, tag).number(2, static_cast<float>(value)));
    write(event(step).message(summary, all));
  }

  // A picture: the bytes of a PNG or JPEG file, and its size in pixels.
  void image(std::int64_t step, std::string_view tag, std::int64_t width, std::int64_t height,
             std::span<const std::uint8_t> file) {
    constexpr std::int64_t channels = 3;
    const std::string_view bytes(reinterpret_cast<const char*>(file.data()), file.size());
    const ProtobufMessage picture =
        ProtobufMessage().integer(1, height).integer(2, width).integer(3, channels).text(4, bytes);
    write(event(step).message(
        summary, ProtobufMessage().message(1, ProtobufMessage().text(1, tag).message(4, picture))));
  }

  // Text, which TensorBoard takes for Markdown.
  void text(std::int64_t step, std::string_view tag, std::string_view content) {
    constexpr std::int64_t string_type = 7, tensor_class = 2;
    const ProtobufMessage shape =
        ProtobufMessage().message(2, ProtobufMessage().integer(1, 1));  // one dimension of 1
    const ProtobufMessage tensor =
        ProtobufMessage().integer(1, string_type).message(2, shape).text(8, content);
    const ProtobufMessage metadata =
        ProtobufMessage().message(1, ProtobufMessage().text(1, "text")).integer(4, tensor_class);
    write(event(step).message(
        summary, ProtobufMessage().message(
                     1, ProtobufMessage().text(1, tag).message(8, tensor).message(9, metadata))));
  }

 private:
  static constexpr int file_version = 3, summary = 5, session_log = 7;

  static double now() {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch())
        .count();
  }
  // TensorBoard reads the files of a folder in the order of their names, which is also that of
  // time.
  static std::filesystem::path name_in(const std::filesystem::path& folder) {
    for (int number = 0;; ++number) {
      const auto path =
          folder / detail::text_of("events.out.tfevents.", static_cast<std::int64_t>(now()),
                                   ".anther.", ::getpid(), ".", number);
      if (!std::filesystem::exists(path)) return path;
    }
  }
  static ProtobufMessage event(std::int64_t step) {
    return ProtobufMessage().number(1, now()).integer(2, step);
  }
  void write(const ProtobufMessage& message) { file_.write(tf_record(message.bytes())); }

  File file_;
};

}  // namespace anther::inline v0_1::io
