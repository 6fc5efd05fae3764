// The framing and the wire format; tests/parity/read_events.py has TensorBoard's own reader read
// it.
#include "anther/io/tensorboard.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "temporary_folder.hpp"

namespace {

using namespace anther;
using namespace anther::io;
using namespace std::string_literals;

TEST_CASE("tensorboard: CRC-32C of the test vectors of RFC 3720, B.4") {
  CHECK(crc32c("") == 0);
  CHECK(crc32c("123456789") == 0xE3069283u);
  CHECK(crc32c(std::string(32, '\0')) == 0x8A9136AAu);
  CHECK(crc32c(std::string(32, '\xFF')) == 0x62A8AB43u);
  std::string rising, falling;
  for (int i = 0; i < 32; ++i) {
    rising += static_cast<char>(i);
    falling += static_cast<char>(31 - i);
  }
  CHECK(crc32c(rising) == 0x46DD794Eu);
  CHECK(crc32c(falling) == 0x113FDB5Cu);
}

TEST_CASE("tensorboard: a message's fields as the wire format has them") {
  // The examples of the protocol-buffer documentation: 150 in field 1, "testing" in field 2.
  CHECK(ProtobufMessage().integer(1, 150).bytes() == "\x08\x96\x01");
  CHECK(ProtobufMessage().text(2, "testing").bytes() == "\x12\x07testing");
  CHECK(ProtobufMessage().message(3, ProtobufMessage().integer(1, 150)).bytes() ==
        "\x1a\x03\x08\x96\x01");
  CHECK(ProtobufMessage().number(2, 1.0f).bytes() == "\x15\x00\x00\x80\x3f"s);
  CHECK(ProtobufMessage().number(1, -2.0).bytes() == "\x09\x00\x00\x00\x00\x00\x00\x00\xc0"s);
  CHECK(ProtobufMessage().integer(2, 0).bytes() == "\x10\x00"s);
  CHECK(ProtobufMessage().integer(1, -1).bytes().size() == 11);
  CHECK(ProtobufMessage().integer(20, 1).bytes() == "\xa0\x01\x01");
}

std::uint64_t number_at(const std::string& bytes, std::size_t at, std::size_t size) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < size; ++i)
    number |= static_cast<std::uint64_t>(static_cast<std::uint8_t>(bytes.at(at + i))) << (8 * i);
  return number;
}

// The records of a file; checks the framing, with the mask computed as its definition says.
std::vector<std::string> records_of(const std::filesystem::path& path) {
  const std::string file = read_text_file(path);
  const auto masked = [](const std::string& bytes) {
    const std::uint32_t crc = crc32c(bytes);
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
  };
  std::vector<std::string> records;
  for (std::size_t at = 0; at < file.size();) {
    const auto size = static_cast<std::size_t>(number_at(file, at, 8));
    CHECK(number_at(file, at + 8, 4) == masked(file.substr(at, 8)));
    records.push_back(file.substr(at + 12, size));
    CHECK(number_at(file, at + 12 + size, 4) == masked(records.back()));
    at += 16 + size;
  }
  return records;
}

TEST_CASE("tensorboard: a file begins with its version, and has a record for each call") {
  const TemporaryFolder folder;
  EventWriter events(folder / "run");
  CHECK(contains(events.path().filename().string(), "events.out.tfevents."));
  events.scalars(7, {{"train/loss", 1.0}, {"lr", 0.5}});
  const auto records = records_of(events.path());
  REQUIRE(records.size() == 2);
  CHECK(
      records[0].ends_with("\x1a\x0d"
                           "brain.Event:2"));
  CHECK(
      records[1].ends_with("\x10\x07\x2a\x1e"                                // step 7; summary
                           "\x0a\x11\x0a\x0atrain/loss\x15\x00\x00\x80\x3f"  // a value
                           "\x0a\x09\x0a\x02lr\x15\x00\x00\x00\x3f"s));
  events.text(8, "arguments", "--lr 0.1");
  events.image(8, "picture", 2, 1, std::vector<std::uint8_t>{1, 2, 3});
  CHECK(records_of(events.path()).size() == 4);

  EventWriter resumed(folder / "run", {.first_step = 5});
  CHECK(resumed.path() != events.path());
  const auto start = records_of(resumed.path());
  REQUIRE(start.size() == 2);
  CHECK(start[1].ends_with("\x10\x05\x3a\x02\x08\x01"));
}

TEST_CASE("tensorboard: a folder that cannot be is named") {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "a");
  const EventWriter file(folder / "a");
  CHECK(contains(error_of([&] { EventWriter events(file.path()); }), file.path().string()));
}

}  // namespace
