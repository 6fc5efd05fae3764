// Text as numbers, and windows of it to learn the next token from: language models of characters.
//
//   const data::Characters characters(text);
//   const auto windows = std::make_shared<data::TokenWindows>(characters.ids(text),
//                                                             characters.size(), 64);
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/data/dataset.hpp"

namespace anther::inline v0_1::data {

// The bytes that occur in a text, numbered in their order from 0 on.
class Characters {
 public:
  explicit Characters(std::string_view text) {
    std::array<bool, 256> occurs{};
    for (const char c : text) occurs[static_cast<unsigned char>(c)] = true;
    number_.fill(-1);
    for (std::size_t c = 0; c < occurs.size(); ++c) {
      if (!occurs[c]) continue;
      number_[c] = static_cast<std::int32_t>(characters_.size());
      characters_ += static_cast<char>(c);
    }
  }

  std::int64_t size() const { return std::ssize(characters_); }
  // Throws if one of them is not among the characters.
  std::vector<std::int32_t> ids(std::string_view text) const {
    std::vector<std::int32_t> result;
    result.reserve(text.size());
    for (const char c : text) {
      result.push_back(number_[static_cast<unsigned char>(c)]);
      detail::check(result.back() >= 0, "characters: expected one of ", size(),
                    " known characters, got the byte ", int{static_cast<unsigned char>(c)});
    }
    return result;
  }
  char character(std::int64_t id) const {
    detail::check(id >= 0 && id < size(), "characters: expected a number below ", size(), ", got ",
                  id);
    return characters_[static_cast<std::size_t>(id)];
  }

 private:
  std::string characters_;
  std::array<std::int32_t, 256> number_{};
};

// Windows of `length` tokens, each `stride` after the one before; the target of each token is the
// token after it. Inputs (length) are whole numbers, which Trainer and Predictor give to a model
// that reads integers as such.
class TokenWindows final : public Dataset {
 public:
  // stride 0: the length, so that windows touch. Throws if a token is not below `vocabulary`, or
  // there are too few for a window.
  TokenWindows(std::vector<std::int32_t> tokens, std::int64_t vocabulary, std::int64_t length,
               std::int64_t stride = 0)
      : tokens_(std::move(tokens)), length_(length), stride_(stride == 0 ? length : stride) {
    detail::check(length >= 1 && stride >= 0,
                  "token windows: expected a length of at least 1 and a stride of at least 0, got ",
                  length, " and ", stride);
    detail::check(vocabulary <= 1 << 24, "token windows: expected at most 2^24 tokens, got ",
                  vocabulary);
    detail::check(std::ssize(tokens_) > length, "token windows: expected more than ", length,
                  " tokens, got ", tokens_.size());
    for (const std::int32_t token : tokens_)
      detail::check(token >= 0 && token < vocabulary, "token windows: expected tokens of 0 to ",
                    vocabulary - 1, ", got ", token);
  }

  std::int64_t size() const override { return (std::ssize(tokens_) - length_ - 1) / stride_ + 1; }
  Shape input_shape() const override { return {length_}; }
  TargetSpec target() const override { return classes({length_}); }
  void load(std::int64_t index, RandomKey, const Sample& sample) const override {
    const auto from = tokens_.begin() + index * stride_;
    std::copy_n(from, length_, sample.input.begin());
    std::copy_n(from + 1, length_, sample.classes.begin());
  }
  std::string name(std::int64_t index) const override { return "window " + std::to_string(index); }

 private:
  std::vector<std::int32_t> tokens_;
  std::int64_t length_, stride_;
};

}  // namespace anther::inline v0_1::data
