// Says what is on pictures: the most probable classes of each image file.
//
//   classify photograph.jpg more_photographs/       # by the latest run, or the model in data/
//   classify --checkpoint runs/train_flowers/1 -k 3 --json result.json photographs/
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "anther/anther.hpp"
#include "anther/data/vision/class_folders.hpp"
#include "anther/io/atomic_file.hpp"
#include "anther/models/classifier.hpp"
#include "anther/models/models.hpp"
#include "anther/train/run_folder.hpp"
#include "anther/train/stop_signals.hpp"
#include "output_flags.hpp"

namespace {

using namespace anther;

// Whether it is what macOS puts beside a file on foreign disks (._photo.jpg), and no picture.
bool is_apple_double(const std::filesystem::path& path) {
  if (!vision::is_companion(path.filename().string())) return false;
  char start[4] = {};
  std::ifstream(path, std::ios::binary).read(start, sizeof start);
  return std::string_view(start, sizeof start) == std::string_view("\0\5\x16\7", 4);
}

// The files themselves, and those in folders that the ending of their name makes images (also of
// formats that are not decoded: each is then named), sorted.
std::vector<std::filesystem::path> image_files(const std::vector<std::string>& arguments) {
  std::vector<std::filesystem::path> files;
  for (const std::string& argument : arguments) {
    if (!std::filesystem::is_directory(argument)) {
      if (is_apple_double(argument))
        std::fprintf(stderr, "%s: a companion file of macOS, no picture; passed over\n",
                     argument.c_str());
      else
        files.emplace_back(argument);
      continue;
    }
    const auto first = std::ssize(files);
    vision::FolderNotes notes;
    std::vector<std::filesystem::path> found = vision::ImageWalk(argument, notes).files();
    files.insert(files.end(), found.begin(), found.end());
    for (const vision::FolderProblem& problem : notes.problems)
      if (problem.kind == vision::FolderProblem::Kind::unsupported) files.push_back(problem.path);
    detail::check(std::ssize(files) > first, argument, ": no image file in this folder");
    std::sort(files.begin() + first, files.end());
  }
  detail::check(!files.empty(), "images: expected at least one picture, got none");
  return files;
}

// Of the latest run of train_flowers that has weights; without any, of the trained model that comes
// with Anther.
std::filesystem::path weights_at_hand() {
  const std::filesystem::path runs = std::filesystem::path("runs") / "train_flowers";
  const int last = last_run_number(runs);
  for (int number = last; number > 0; --number) {
    const auto weights = weights_in_run(runs / std::to_string(number));
    if (weights.empty()) continue;
    if (number < last)
      std::printf("The latest run, %s, has no weights yet; the newest that has some is taken.\n",
                  (runs / std::to_string(last)).c_str());
    return weights;
  }
  if (last > 0)
    std::printf("No run in %s has weights yet; the model that comes with Anther is taken.\n",
                runs.c_str());
  std::filesystem::path weights = ANTHER_TRAINED_MODEL;
  detail::check(std::filesystem::exists(weights),
                "--checkpoint: name the weights: there are none at ", weights.string());
  return weights;
}

void print(const Classified& image, const std::vector<std::string>& names, std::int64_t k) {
  std::printf("%s\n", image.file.c_str());
  for (const std::int64_t c : image.top(k))
    std::printf("  %6.2f %%  %s\n", 100 * image.probabilities[static_cast<std::size_t>(c)],
                names[static_cast<std::size_t>(c)].c_str());
}

nlohmann::json to_json(const Classified& image, const std::vector<std::string>& names,
                       std::int64_t k) {
  if (!image.error.empty())
    return {{"file", io::to_utf8(image.file.string())}, {"error", io::to_utf8(image.error)}};
  nlohmann::json top = nlohmann::json::array();
  for (const std::int64_t c : image.top(k))
    top.push_back({{"class", names[static_cast<std::size_t>(c)]},
                   {"label", c},
                   {"probability", image.probabilities[static_cast<std::size_t>(c)]}});
  return {{"file", io::to_utf8(image.file.string())}, {"top", top}};
}

struct Options {
  std::vector<std::string> images;
  std::string checkpoint, json;
  std::int64_t k = 5;
  int threads = 0;
  bool tta = false, amp = false;
};

// How many files had no answer.
int classify(const Options& o) {
  check_optional_output("--json", o.json);
  if (!o.json.empty()) ignore_lost_output();  // else nobody misses the rest of the answers
  if (o.threads > 0) set_num_threads(o.threads);
  const std::vector<std::filesystem::path> files = image_files(o.images);
  const std::filesystem::path weights =
      o.checkpoint.empty() ? weights_at_hand() : std::filesystem::path(o.checkpoint);
  const Classifier classifier(weights, {.amp = o.amp});
  if (o.checkpoint.empty())
    std::printf("Model: %s, %lld classes\n", weights.c_str(),
                static_cast<long long>(classifier.classes()));
  const std::vector<std::string>& names = classifier.card().class_names;
  nlohmann::json all = nlohmann::json::array();
  int failures = 0;
  // So many files at once that the threads are busy to the last, and the first answers come early.
  const auto at_once = static_cast<std::size_t>(std::max(32, 8 * num_threads()));
  for (std::size_t at = 0; at < files.size(); at += at_once) {
    const auto part = std::span(files).subspan(at, std::min(at_once, files.size() - at));
    for (const Classified& image : classifier.classify(part, o.tta)) {
      all.push_back(to_json(image, names, o.k));
      if (image.error.empty()) {
        print(image, names, o.k);
      } else {
        ++failures;
        std::fflush(stdout);
        std::fprintf(stderr, "%s\n", image.error.c_str());
      }
    }
  }
  if (!o.json.empty()) io::write_file_atomically(o.json, all.dump(2) + "\n");
  if (failures > 0) {
    std::fflush(stdout);
    std::fprintf(stderr, "classify: %d of %zu files could not be classified\n", failures,
                 files.size());
  }
  return failures;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    Options options;
    CLI::App app("Says what is on pictures.");
    app.add_option("images", options.images, "image files, and folders of them")->required();
    app.add_option("--checkpoint", options.checkpoint,
                   "a .safetensors file or the folder of a run; without: the latest run in "
                   "runs/train_flowers, else the trained model in Anther's data/");
    app.add_option("-k,--topk", options.k, "classes to show of each image")
        ->check(CLI::Range(1, 1 << 20))
        ->capture_default_str();
    app.add_flag("--tta", options.tta, "the mean over each image and its mirror image");
    app.add_flag("--amp", options.amp,
                 "products of numbers in bfloat16: fast where the processor has AMX");
    app.add_option("--threads", options.threads,
                   "compute threads; 0: OMP_NUM_THREADS, or all cores")
        ->check(CLI::Range(0, 1024));
    app.add_option("--json", options.json, "file to write the answers to");
    CLI11_PARSE(app, argc, argv);
    return classify(options) > 0 ? 1 : 0;
  } catch (const std::exception& error) {
    std::fflush(stdout);
    std::fprintf(stderr, "classify: %s\n", error.what());
    return 1;
  }
}
