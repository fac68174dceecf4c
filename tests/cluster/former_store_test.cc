// former_store_test: a member that a snapshot has brought forward keeps nothing of the store that
// it had before, also when nobody asks it for anything.

#include <filesystem>
#include <iostream>

#include "base/text.h"
#include "tests/cluster/cluster.h"
#include "tests/harness/server_test.h"

namespace keelson::cluster {
namespace {

namespace fs = std::filesystem;

std::string stores(const std::string& data_dir) {
  std::string out;
  for (const auto& entry : fs::directory_iterator(data_dir + "/member")) {
    const std::string name = entry.path().filename();
    if (name.find("keelson") != std::string::npos) out += cat(out.empty() ? "" : " ", name);
  }
  return out;
}

int run(const std::string& binary) {
  const Program program(
      binary, {"--snapshot-count=50", "--snapshot-catchup-entries=20", "--keelson-io-threads=4"});
  Cluster cluster({program, program, program});
  cluster.start();
  cluster.move_leader(0);  // what is on its way to a leader that is killed is lost
  cluster.at(2).kill();
  for (int i = 0; i < 300; ++i) cluster.check(cluster.put(0, cat("k", i % 7), cat(i)), "put");
  cluster.check(cluster.at(2).start(), "start");
  std::string left;
  const bool gone = eventually(
      [&] {
        left = stores(cluster.at(2).data_dir());
        return left == "keelson.1";
      },
      Milliseconds(10000));
  cluster.check(gone, "only the store that came is left: " + left);
  cluster.expect_equal();
  std::cout << (cluster.ok() ? "ok" : "failed") << "\n";
  return cluster.ok() ? 0 : 1;
}

}  // namespace
}  // namespace keelson::cluster

int main(int argc, char** argv) {
  return keelson::harness::server_test(argc, argv, "What is left of a store that was replaced.",
                                       keelson::cluster::run);
}
