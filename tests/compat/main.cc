// compat_runner: the same requests to a real etcd and to the server under test, and every
// difference between their answers. See README.md.

#include <CLI/CLI.hpp>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <set>

#include "base/thread.h"
#include "tests/compat/histories.h"
#include "tests/compat/runner.h"
#include "tests/harness/server.h"

namespace keelson::compat {
namespace {

namespace fs = std::filesystem;

struct Arguments {
  RunOptions run;
  std::vector<std::string> paths;
  int histories = 0;
  HistoryOptions history;
  std::string repository;
};

std::vector<std::string> script_paths(const std::vector<std::string>& given) {
  std::set<std::string> out;
  for (const std::string& path : given) {
    if (!fs::is_directory(path)) {
      out.insert(path);
      continue;
    }
    for (const auto& entry : fs::directory_iterator(path)) {
      if (entry.path().extension() == ".txt") out.insert(entry.path());
    }
  }
  return {out.begin(), out.end()};
}

class Total {
 public:
  // Counts what one script or history gave, and prints its line.
  void add(const std::string& name, const absl::StatusOr<Tally>& tally) {
    if (!tally.ok()) {
      std::cout << name << ": " << tally.status().message() << std::endl;
      ++failed_;
      return;
    }
    std::cout << name << ": " << tally->requests << " requests, " << tally->differences
              << " differences";
    if (tally->agreed > 0) std::cout << ", " << tally->agreed << " as declared";
    std::cout << std::endl;
    requests_ += tally->requests;
    agreed_ += tally->agreed;
    differences_ += tally->differences;
  }
  int finish() const {
    std::cout << "total: " << requests_ << " requests, " << differences_ << " differences, "
              << agreed_ << " as declared, " << failed_ << " not run\n";
    return differences_ == 0 && failed_ == 0 ? 0 : 1;
  }

 private:
  int requests_ = 0;
  int differences_ = 0;
  int agreed_ = 0;
  int failed_ = 0;
};

int run(Arguments arguments) {
  arguments.run.reference = harness::find_etcd(arguments.run.reference, arguments.repository);
  if (arguments.run.reference.empty()) {
    std::cout << "skipped: no real etcd to compare with\n";
    return harness::kSkipped;
  }
  if (arguments.run.subject.empty()) arguments.run.subject = arguments.run.reference;
  Total total;
  for (const std::string& path : script_paths(arguments.paths)) {
    absl::StatusOr<Script> script = read_script(path);
    if (!script.ok()) {
      total.add(path, script.status());
      continue;
    }
    total.add(fs::path(path).stem(), run_script(*script, arguments.run));
  }
  for (int i = 0; i < arguments.histories; ++i) {
    HistoryOptions history = arguments.history;
    history.seed += static_cast<uint64_t>(i);
    total.add("history --seed " + std::to_string(history.seed),
              run_history(history, arguments.run));
  }
  return total.finish();
}

}  // namespace
}  // namespace keelson::compat

int main(int argc, char** argv) {
  keelson::compat::Arguments arguments;
  arguments.history.seed = static_cast<uint64_t>(
      std::chrono::system_clock::now().time_since_epoch() / std::chrono::seconds(1));
  arguments.repository = KEELSON_SOURCE_DIR;
  CLI::App app(
      "Sends the same requests to a real etcd and to another server; compares the answers.");
  app.add_option("scripts", arguments.paths, "script files, or directories of them");
  app.add_option("--reference", arguments.run.reference,
                 "the etcd that is right (else get-etcd's)");
  app.add_option("--subject", arguments.run.subject, "the server under test (else the reference)");
  app.add_option("--histories", arguments.histories, "random histories to run after the scripts");
  app.add_option("--seed", arguments.history.seed, "of the first history");
  app.add_option("--requests", arguments.history.requests, "in each history");
  app.add_flag("-v,--verbose", arguments.run.verbose,
               "print every step with the reference's answer");
  CLI11_PARSE(app, argc, argv);
  // What this prints and parses nests as deep as a request may, and protobuf's text takes more of
  // the stack for it than any server.
  int status = 0;
  keelson::Thread thread([&] { status = keelson::compat::run(std::move(arguments)); },
                         size_t{512} << 20);
  thread.join();
  return status;
}
