// raft_scenarios [--rewrite] PATH…: replays scenario files (or the *.txt files of folders) and says
// of each whether its output came to the letter. See raft/testdata/README.md.

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "base/text.h"
#include "raft/scenarios/handlers.h"

namespace keelson::raft::scenarios {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> files_of(const std::string& path) {
  if (!fs::is_directory(path)) return {path};
  std::vector<std::string> files;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(path)) {
    if (entry.is_regular_file() && entry.path().extension() == ".txt") {
      files.push_back(entry.path().string());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

bool read_file(const std::string& path, std::string* text) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  *text = out.str();
  return in.good();
}

bool replay(const std::string& path, bool rewrite) {
  std::string text;
  if (!read_file(path, &text)) {
    std::printf("FAIL %s: cannot be read\n", path.c_str());
    return false;
  }
  absl::StatusOr<Script> script = parse_script(text);
  if (!script.ok()) {
    std::printf("FAIL %s: %s\n", path.c_str(), std::string(message_of(script.status())).c_str());
    return false;
  }
  const Outcome outcome = run_script(*script, handler_for(kind_of(*script)));
  if (rewrite) {
    if (outcome.rewritten != text) std::ofstream(path, std::ios::binary) << outcome.rewritten;
    std::printf("%s %s (%d commands)\n", outcome.rewritten == text ? "same" : "rewritten",
                path.c_str(), outcome.commands);
    return true;
  }
  if (outcome.differences.empty()) {
    std::printf("ok   %s (%d commands)\n", path.c_str(), outcome.commands);
    return true;
  }
  std::printf("FAIL %s (%zu of %d commands)\n", path.c_str(), outcome.differences.size(),
              outcome.commands);
  for (const std::string& difference : outcome.differences) {
    std::printf("%s:%s\n", path.c_str(), difference.c_str());
  }
  return false;
}

// Distinct from failure: ctest reports it as skipped.
constexpr int kNothingThere = 77;

int run(const std::vector<std::string>& arguments) {
  bool rewrite = false;
  bool ok = true;
  size_t files = 0;
  for (const std::string& argument : arguments) {
    if (argument == "--rewrite") {
      rewrite = true;
      continue;
    }
    if (!fs::exists(argument)) {
      std::printf("no such file or folder: %s\n", argument.c_str());
      return kNothingThere;
    }
    for (const std::string& path : files_of(argument)) {
      ++files;
      ok = replay(path, rewrite) && ok;
    }
  }
  if (files == 0) {
    std::printf("usage: raft_scenarios [--rewrite] PATH...\n");
    return 2;
  }
  return ok ? 0 : 1;
}

}  // namespace
}  // namespace keelson::raft::scenarios

int main(int argc, char** argv) { return keelson::raft::scenarios::run({argv + 1, argv + argc}); }
