// The ranks that train_flowers runs on: those of MPI where it was built with it, else one process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>

#include "anther/core/cpu.hpp"
#include "anther/core/version.hpp"
#include "anther/data/vision/image_decoders.hpp"
#include "anther/distributed/launcher.hpp"
#include "anther/distributed/message.hpp"
#include "anther/distributed/process_group.hpp"
#include "anther/distributed/texts.hpp"
#include "anther/train/agreement.hpp"
#include "train_options.hpp"

#ifdef ANTHER_MPI
#include "anther/distributed/mpi.hpp"
#endif

// What an invocation asks for. A program that has nothing to train has a status to end with.
struct Invocation {
  TrainOptions options;
  std::string resume;      // the run to go on with, or empty
  nlohmann::json changes;  // of that run's options
  int status = 0;
  bool trains = false;
};

// Rank 0's invocation, on all ranks: the others may not even see the folder of the run.
inline Invocation shared(anther::Agreement& agreement, Invocation own) {
  using namespace anther;
  const auto each = [&own](const auto& visit) {
    visit(own.resume), visit(own.status), visit(own.trains);
    for_each_option(own.options, [&](const char*, auto& member, const char*) { visit(member); });
  };
  Message message;
  each([&](const auto& value) { message.put(value); });
  message.put(own.changes.dump());
  Message first = agreement.agree(message).front();
  each([&](auto& value) {
    using Value = std::decay_t<decltype(value)>;
    if constexpr (std::is_same_v<Value, std::string>)
      value = first.get_text();
    else if constexpr (std::is_same_v<Value, std::vector<double>>)
      value = first.get_all<double>();
    else
      value = first.get<Value>();
  });
  own.changes = nlohmann::json::parse(first.get_text());
  return own;
}

// Throws, and names the ranks, where one is another program, or was started otherwise.
inline void check_same_program(anther::ProcessGroup& group, int argc, char** argv) {
  using namespace anther;
  std::string arguments;
  for (int i = 1; i < argc; ++i) arguments += (i > 1 ? " " : "") + std::string(argv[i]);
  check_same(group, {{"version", version},
                     {"instruction set", to_string(isa())},
                     {"decoder of JPEG", std::string(vision::decoder_name())},
                     {"arguments", arguments}});
}

// The same for the images that it has found.
inline void check_same_data(anther::ProcessGroup& group, const nlohmann::json& record) {
  using namespace anther;
  Facts facts = {{"classes", record.at("classes").dump()}};
  for (const char* part : {"train", "val", "test"}) {
    const bool has = record.contains(part);
    facts.emplace_back(
        std::string("images of ") + part,
        has ? detail::text_of(record[part].at("images").dump(), " (digest of their names ",
                              record[part].at("digest").get<std::string>(), ")")
            : "none");
  }
  check_same(group, facts);
}

// Runs program(group), with null for one process, and gives the exit status.
template <class Program>
int run_on_ranks([[maybe_unused]] int& argc, [[maybe_unused]] char**& argv,
                 const Program& program) {
#ifdef ANTHER_MPI
  anther::MpiGroup ranks(argc, argv);
  // Rank 0 prints.
  if (ranks.rank() != 0 && !std::freopen("/dev/null", "w", stdout)) return 1;
  return ranks.run("train_flowers", [&] {
    return program(ranks.size() > 1 ? &ranks : nullptr, ranks.description());
  });
#else
  try {
    anther::check_not_launched();
    return program(nullptr, std::string());
  } catch (const std::exception& error) {
    std::fflush(stdout);
    std::fprintf(stderr, "train_flowers: %s\n", error.what());
    return 1;
  }
#endif
}
