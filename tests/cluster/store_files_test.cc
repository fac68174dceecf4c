// store_files_test: a Keelson that fell behind is sent the files of another one's store; it dies on
// the way of that, or the sender cannot, and it has everything all the same, and nothing besides.

#include <filesystem>
#include <iostream>
#include <vector>

#include "base/text.h"
#include "tests/cluster/cluster.h"
#include "tests/harness/server_test.h"

namespace keelson::cluster {
namespace {

namespace fs = std::filesystem;

// What lies there beside the log and the files of marks.
std::vector<std::string> stores(const std::string& data_dir) {
  std::vector<std::string> names;
  std::error_code error;
  for (const char* directory : {"/member", "/member/snap"}) {
    for (const auto& entry : fs::directory_iterator(data_dir + directory, error)) {
      const std::string name = entry.path().filename();
      if (name.find("keelson") != std::string::npos || name.starts_with("tmp")) {
        names.push_back(name);
      }
    }
  }
  return names;
}

class Story {
 public:
  explicit Story(Cluster& cluster) : cluster_(cluster) {}

  // One of the others leads, who has not sent anything for a while, and the member is far behind.
  void falls_behind(const std::string& value) {
    cluster_.at(kAway).kill();
    cluster_.move_leader(1 - cluster_.leader());
    for (int i = 0; i < 80; ++i) cluster_.check(cluster_.put(0, cat("k", i), value), "put");
    value_ = value;
  }
  void comes_back() {
    cluster_.at(kAway).set_environment({"KEELSON_FAILPOINTS="});
    cluster_.check(cluster_.at(kAway).start(), "it starts after " + value_);
    cluster_.check(cluster_.get(kAway, "k79") == value_, "it has it all after " + value_);
    cluster_.expect_equal();
    std::vector<std::string> left;
    const bool one = eventually([&] {
      left = stores(cluster_.at(kAway).data_dir());
      return left.size() == 1;
    });
    cluster_.check(one, cat("one store is left after ", value_, ", not ", left.size()));
    for (int i = 0; i < 2; ++i) {
      cluster_.check(stores(cluster_.at(i).data_dir()).size() == 1, "no copy is left");
    }
  }
  void dies_at(const std::string& point) {
    falls_behind(point);
    Server& member = cluster_.at(kAway);
    member.set_environment({cat("KEELSON_FAILPOINTS=", point, "=crash")});
    cluster_.check(member.launch(), "launch");
    cluster_.check(eventually([&] { return member.exited(); }, Milliseconds(20000)),
                   point + ": it dies");
    comes_back();
  }
  // How it came, by what was said of it.
  bool came_as_files() const {
    return cluster_.at(kAway).log_tail().find(R"("files":)") != std::string::npos;
  }

  static constexpr int kAway = 2;

 private:
  Cluster& cluster_;
  std::string value_;
};

int run(const std::string& binary) {
  const Program program(binary, {"--snapshot-count=50", "--snapshot-catchup-entries=10"});
  Cluster cluster({program, program, program});
  cluster.start();
  cluster.move_leader(0);
  Story story(cluster);

  story.falls_behind("nothing");
  story.comes_back();
  cluster.check(story.came_as_files(), "it came as files");

  for (const char* point :
       {"peer_store_files_begun", "peer_store_files_synced", "peer_store_files_open",
        "consensus_start_over", "consensus_started_over"}) {
    story.dies_at(point);
  }

  // The sender has no room for a copy, or whatever else keeps it from it.
  for (int i = 0; i < 2; ++i) {
    cluster.at(i).kill();
    cluster.at(i).set_environment({"KEELSON_FAILPOINTS=state_home_copy=error:28"});
    cluster.check(cluster.at(i).start(), "start");
  }
  story.falls_behind("no copy");
  story.comes_back();
  cluster.check(!story.came_as_files(), "it came as a database");

  std::cout << (cluster.ok() ? "ok" : "failed") << "\n";
  return cluster.ok() ? 0 : 1;
}

}  // namespace
}  // namespace keelson::cluster

int main(int argc, char** argv) {
  return keelson::harness::server_test(argc, argv, "Snapshots as the files of a store.",
                                       keelson::cluster::run);
}
