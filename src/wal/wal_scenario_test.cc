// Runs the scenarios in testdata/*.txt: a log is written, cut, damaged and opened, and each command
// prints all that it shows. KEELSON_REWRITE=1 writes the answers into the files instead.

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "base/text.h"
#include "wal/memory_file_system.h"
#include "wal/segment_name.h"
#include "wal/wal.h"

namespace keelson::wal {
namespace {

class Scenario {
 public:
  Scenario() {
    options_.fs = &fs_;
    options_.segment_bytes = 2048;
    options_.max_segments = 1;
  }

  std::string run(const std::string& command) {
    std::istringstream words(command);
    std::string verb;
    words >> verb;
    arguments_.clear();
    for (std::string word; words >> word;) {
      const size_t equals = word.find('=');
      arguments_[word.substr(0, equals)] = std::strtoull(word.c_str() + equals + 1, nullptr, 0);
    }
    if (verb == "create") return create();
    if (verb == "append") return append();
    if (verb == "state") return show(wal_->append(state(), {}));
    if (verb == "mark")
      return show(wal_->save_snapshot(mark(), {{MemberId(1)}, {}, {}, {}, false}));
    if (verb == "sync") return show(wal_->sync());
    if (verb == "close") return show(wal_->close());
    if (verb == "kill") return kill();
    if (verb == "release") return release();
    if (verb == "segments") return segments();
    if (verb == "damage") return damage();
    if (verb == "zero") return zero();
    if (verb == "open") return open();
    return "unknown command\n";
  }

 private:
  static std::string show(const absl::Status& status) {
    return status.ok() ? "ok\n" : cat("error ", status.ToString(), "\n");
  }
  SnapshotMark mark() { return {Index(arguments_["index"]), Term(arguments_["term"])}; }
  raft::HardState state() {
    return {Term(arguments_["term"]), MemberId(1), Index(arguments_["commit"])};
  }

  std::string create() {
    auto made = Wal::create("wal", "metadata", options_);
    if (made.ok()) wal_ = *std::move(made);
    return show(made.status());
  }
  // The process dies; what it wrote stays.
  std::string kill() {
    wal_.reset();
    fs_.kill();
    return "ok\n";
  }
  std::string release() {
    wal_->release_to(Index(arguments_["index"]));
    return "ok\n";
  }
  std::string append() {
    raft::Entry entry;
    entry.index = Index(arguments_["index"]);
    entry.term = Term(arguments_["term"]);
    entry.data = Bytes::copy(std::string(arguments_["size"], 'x'));
    entry.data_set = !entry.data.empty();
    return show(wal_->append({}, {&entry, 1}));
  }
  std::vector<std::string> paths() {
    std::vector<std::string> out;
    for (const std::string& path : fs_.paths()) {
      if (path.ends_with(".wal")) out.push_back(path);
    }
    return out;
  }
  std::string segments() {
    std::string out;
    for (const std::string& path : fs_.paths()) {
      if (path.ends_with(".tmp") || path.ends_with("KEELSON.tail")) continue;
      const std::string content = fs_.contents(path);
      out += cat(path, " size ", content.size(), " written ", content.find_last_not_of('\0') + 1,
                 "\n");
    }
    return out;
  }
  std::string damage() {
    const std::string path = paths().at(arguments_["segment"]);
    std::string content = fs_.contents(path);
    content.at(arguments_["at"]) ^= static_cast<char>(arguments_["xor"]);
    fs_.set_contents(path, content);
    return "ok\n";
  }
  std::string zero() {
    const std::string path = paths().at(arguments_["segment"]);
    std::string content = fs_.contents(path);
    content.replace(arguments_["from"], arguments_["size"], arguments_["size"], '\0');
    fs_.set_contents(path, content);
    return "ok\n";
  }
  std::string open() {
    std::string out;
    auto opened = Wal::open("wal", mark(), options_, [&](raft::Entry entry) {
      out += cat("entry ", entry.index.value, " term ", entry.term.value, " size ",
                 entry.data.size(), "\n");
      return absl::OkStatus();
    });
    if (!opened.ok()) return cat(out, show(opened.status()));
    wal_ = std::move(opened->wal);
    return cat(out, "metadata ", opened->metadata.view(), "\nstate term ", opened->state.term.value,
               " commit ", opened->state.commit.value, opened->repaired ? "\nrepaired\n" : "\n");
  }

  MemoryFileSystem fs_;
  Options options_;
  std::unique_ptr<Wal> wal_;
  std::map<std::string, uint64_t> arguments_;
};

// "command\n----\nanswer\n\n", comments between.
std::string replay(const std::string& text) {
  Scenario scenario;
  std::istringstream in(text);
  std::string out;
  bool in_answer = false;
  for (std::string line; std::getline(in, line);) {
    if (in_answer) {
      in_answer = !line.empty();
      if (!in_answer) out += "\n";
      continue;
    }
    if (line.empty() || line[0] == '#') {
      out += line + "\n";
      continue;
    }
    out += line + "\n----\n" + scenario.run(line);
    std::getline(in, line);  // the dashes
    in_answer = true;
  }
  return out;
}

TEST(WalScenario, AllFiles) {
  int files = 0;
  for (const auto& file :
       std::filesystem::directory_iterator(std::string(KEELSON_SOURCE_DIR) + "/src/wal/testdata")) {
    if (file.path().extension() != ".txt") continue;
    ++files;
    std::ifstream stream(file.path());
    const std::string expected{std::istreambuf_iterator<char>(stream), {}};
    const std::string actual = replay(expected);
    if (std::getenv("KEELSON_REWRITE")) {
      std::ofstream(file.path()) << actual;
    } else {
      EXPECT_EQ(actual, expected) << file.path();
    }
  }
  EXPECT_GT(files, 0);
}

}  // namespace
}  // namespace keelson::wal
