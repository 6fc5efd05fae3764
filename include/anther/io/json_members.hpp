// A struct as JSON, and back, by one list of its members:
//
//   enum class Kind { a, b };
//   constexpr auto choices_of(Kind) {
//     return std::array{std::pair{Kind::a, "a"}, std::pair{Kind::b, "b"}};
//   }
//   struct Options {
//     std::int64_t width = 64;
//     Kind kind = Kind::a;
//     // Self is Options or const Options.
//     template <class Self, class Visit>
//     static void members(Self& self, const Visit& visit) {
//       visit("width", self.width);
//       visit("kind", self.kind);
//     }
//   };
//
// A member is a bool, a number, text, an enum with choices_of, or a std::array, std::vector or
// std::optional of these.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"

namespace anther::inline v0_1::io {

// An enum whose values have names.
template <class E>
concept NamedChoices = std::is_enum_v<E> && requires(E e) {
  choices_of(e);
};

template <NamedChoices E>
std::string name_of(E choice) {
  for (const auto& [value, name] : choices_of(choice))
    if (value == choice) return std::string(name);
  return {};
}

// The choice with this name. Throws, listing all names, if there is none; `option` is what asks.
template <NamedChoices E>
E choice_named(std::string_view option, std::string_view text) {
  std::string choices;
  for (const auto& [value, name] : choices_of(E())) {
    if (name == text) return value;
    choices += (choices.empty() ? "" : ", ") + std::string(name);
  }
  detail::fail(option, ": expected one of ", choices, ", got ", text);
}

template <class V>
struct JsonMember;  // other types cannot be members

template <>
struct JsonMember<bool> {
  static nlohmann::json to(bool value) { return value; }
  static void from(std::string_view name, const nlohmann::json& json, bool& value) {
    detail::check(json.is_boolean(), name, ": expected true or false, got ", json.type_name());
    value = json.get<bool>();
  }
};

template <std::integral V>
struct JsonMember<V> {
  static constexpr const char* plural = "whole numbers";
  static nlohmann::json to(V value) { return value; }
  // nlohmann-json would cut off a fraction, and wrap a value that is too large.
  static void from(std::string_view name, const nlohmann::json& json, V& value) {
    detail::check(json.is_number_integer(), name, ": expected a whole number");
    const bool fits = json.is_number_unsigned()
                          ? std::in_range<V>(json.get<nlohmann::json::number_unsigned_t>())
                          : std::in_range<V>(json.get<nlohmann::json::number_integer_t>());
    detail::check(fits, name, ": expected a whole number of at most ",
                  std::numeric_limits<V>::max(), ", got ", json.dump());
    value = json.get<V>();
  }
};

template <std::floating_point V>
struct JsonMember<V> {
  static constexpr const char* plural = "numbers";
  static nlohmann::json to(V value) { return value; }
  static void from(std::string_view name, const nlohmann::json& json, V& value) {
    detail::check(json.is_number(), name, ": expected a number, got ", json.type_name());
    value = json.get<V>();
  }
};

template <>
struct JsonMember<std::string> {
  static nlohmann::json to(const std::string& value) { return value; }
  static void from(std::string_view name, const nlohmann::json& json, std::string& value) {
    detail::check(json.is_string(), name, ": expected text, got ", json.type_name());
    value = json.get<std::string>();
  }
};

template <NamedChoices E>
struct JsonMember<E> {
  static nlohmann::json to(E value) { return name_of(value); }
  static void from(std::string_view name, const nlohmann::json& json, E& value) {
    detail::check(json.is_string(), name, ": expected text, got ", json.type_name());
    value = choice_named<E>(name, json.get_ref<const std::string&>());
  }
};

template <class V>
constexpr const char* plural_of() {
  if constexpr (requires { JsonMember<V>::plural; }) return JsonMember<V>::plural;
  return "values";
}

template <class V, std::size_t count>
struct JsonMember<std::array<V, count>> {
  static nlohmann::json to(const std::array<V, count>& values) {
    nlohmann::json json = nlohmann::json::array();
    for (const V& value : values) json.push_back(JsonMember<V>::to(value));
    return json;
  }
  static void from(std::string_view name, const nlohmann::json& json,
                   std::array<V, count>& values) {
    detail::check(json.is_array() && json.size() == count, name, ": expected ", count, " ",
                  plural_of<V>());
    for (std::size_t i = 0; i < count; ++i) JsonMember<V>::from(name, json[i], values[i]);
  }
};

template <class V>
struct JsonMember<std::vector<V>> {
  static nlohmann::json to(const std::vector<V>& values) {
    nlohmann::json json = nlohmann::json::array();
    for (const auto& value : values) json.push_back(JsonMember<V>::to(value));
    return json;
  }
  static void from(std::string_view name, const nlohmann::json& json, std::vector<V>& values) {
    detail::check(json.is_array(), name, ": expected a list of ", plural_of<V>(), ", got ",
                  json.type_name());
    std::vector<V> read;
    for (const auto& each : json) {
      V value{};
      JsonMember<V>::from(name, each, value);
      read.push_back(value);
    }
    values = std::move(read);
  }
};

// null: empty.
template <class V>
struct JsonMember<std::optional<V>> {
  static nlohmann::json to(const std::optional<V>& value) {
    return value ? JsonMember<V>::to(*value) : nlohmann::json();
  }
  static void from(std::string_view name, const nlohmann::json& json, std::optional<V>& value) {
    if (json.is_null()) {
      value.reset();
      return;
    }
    V read{};
    JsonMember<V>::from(name, json, read);
    value = read;
  }
};

template <class Options>
concept HasMembers = requires(Options& o) {
  Options::members(o, [](const char*, auto&) {});
};

// JSON from a file. Nothing that Anther writes is nested deeply, and walking over deep JSON would
// use up the stack. Throws what nlohmann's parser does, and Error where it is deep.
ANTHER_ONCE nlohmann::json parse_shallow_json(const std::string& text) {
  return nlohmann::json::parse(text, [](int depth, auto, auto&) {
    detail::check(depth < 16, "expected JSON of a few levels");
    return true;
  });
}

template <HasMembers Options>
nlohmann::json members_to_json(const Options& options) {
  nlohmann::json json = nlohmann::json::object();
  Options::members(options, [&]<class V>(const char* name, const V& value) {
    json[name] = JsonMember<V>::to(value);
  });
  return json;
}

// Sets the members that `json`, an object, names. Throws, with the name, if a value has another
// type. Keys of no member are left to check_keys.
template <HasMembers Options>
void set_members(const nlohmann::json& json, Options& options) {
  Options::members(options, [&]<class V>(const char* name, V& member) {
    const auto found = json.find(name);
    if (found != json.end()) JsonMember<V>::from(name, *found, member);
  });
}

// Throws unless `json` is an object whose keys are all members of one of the Options. `what` begins
// the message.
template <HasMembers... Options>
void check_keys(std::string_view what, const nlohmann::json& json) {
  detail::check(json.is_object(), what, ": expected a JSON object, got ", json.type_name());
  std::set<std::string, std::less<>> known;
  const auto add = [&]<class O>(const O& options) {
    O::members(options, [&](const char* name, const auto&) { known.insert(name); });
  };
  (add(Options()), ...);
  for (const auto& [key, value] : json.items())
    detail::check(known.contains(key), what, ": unknown key ", key);
}

}  // namespace anther::inline v0_1::io
